import type { Load } from './load.ts';

/** Connections that are closed at once. */
export const SHORT: Load = {
  address: '127.0.0.1',
  servers: 4,
  clients: 16,
  connectionsPerSecond: 1_000,
  processesPerSecond: 100,
  seconds: 20,
  lifetimeMs: 0,
};

/** Connections that a snapshot every second sees. */
export const LONGER: Load = {
  ...SHORT,
  connectionsPerSecond: 200,
  processesPerSecond: 40,
  seconds: 10,
  lifetimeMs: 1_300,
};
