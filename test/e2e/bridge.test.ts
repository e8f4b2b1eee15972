/** A bridge network as docker0 is: a namespace as the host, two behind a bridge as containers. */
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { Actor } from '../support/actor.ts';
import { Cleanup } from '../support/cleanup.ts';
import { edgesTo, type GraphJson, Ttracerd, ttctlJson } from '../support/commands.ts';
import { Namespace } from '../support/namespace.ts';
import {
  startTestPostgres,
  type TestPostgres,
  temporaryDirectory,
  urlOf,
  withClient,
} from '../support/postgres.ts';
import { eventually } from '../support/processes.ts';
import { SKIP_UNLESS_ROOT } from '../support/run.ts';

const HOST_ID = '11111111-2222-4333-8444-555555555555';

describe('a bridge network of one host', { skip: SKIP_UNLESS_ROOT }, () => {
  let postgres: TestPostgres;
  let cleanup: Cleanup;
  before(async () => {
    postgres = await startTestPostgres();
  });
  after(() => postgres.stop());
  beforeEach(() => {
    cleanup = new Cleanup();
  });
  afterEach(() => cleanup.run());

  const namespace = async () => cleanup.keep(await Namespace.create(), (it) => it.delete());

  const container = async (host: Namespace, address: string, link: string): Promise<Namespace> => {
    const made = await namespace();
    await host.ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', made.name);
    await host.ip('link', 'set', link, 'master', 'br0', 'up');
    await made.ip('addr', 'add', `${address}/24`, 'dev', 'eth0');
    await made.ip('link', 'set', 'eth0', 'up');
    return made;
  };

  it('confines its edges to the host, and both ends agree', async () => {
    const host = await namespace();
    await host.ip('link', 'add', 'br0', 'type', 'bridge');
    await host.ip('addr', 'add', '172.29.231.1/24', 'dev', 'br0');
    await host.ip('link', 'set', 'br0', 'up');
    const dataDir = cleanup.keep(await temporaryDirectory(), (it) => rm(it, { recursive: true }));
    const config = await postgres.createDatabase();
    const reach = ['--cmdb', urlOf(config)];
    const argv = [
      '--data-dir',
      dataDir,
      '--host-id',
      HOST_ID,
      '--flush-interval',
      '500ms',
      ...reach,
    ];
    const agent = cleanup.keep(new Ttracerd(argv, { wrapper: host.wrapper }), (it) => it.stop());
    await agent.ready();
    // As docker does, the containers come when the agent is there.
    const [near, far] = [
      await container(host, '172.29.231.2', 'veth1'),
      await container(host, '172.29.231.3', 'veth2'),
    ];
    const actor = (where: Namespace) =>
      cleanup.keep(new Actor({ wrapper: where.wrapper }), (it) => it.end());
    const [server, client, own] = [actor(far), actor(near), actor(host)];
    const { fd, port } = await server.listen('172.29.231.3');
    for (const from of [client, own]) {
      await from.one(`connect 172.29.231.3 ${port}`);
      await server.one(`accept ${fd}`);
    }
    const edges = await eventually(
      async () => {
        const found = edgesTo(await ttctlJson<GraphJson>(['flows', ...reach]), port);
        return found.length === 2 && found.every(({ seenBy }) => seenBy === 'both')
          ? found
          : undefined;
      },
      { timeoutMs: 20_000, what: 'both edges from both ends' },
    );
    assert.deepEqual(edges.map((edge) => edge.activeAddress).sort(), [
      '172.29.231.1',
      '172.29.231.2',
    ]);
    await withClient(config, async (pg) => {
      const scopes = await pg.query('SELECT DISTINCT scope FROM flows WHERE passive_port = $1', [
        port,
      ]);
      assert.deepEqual(scopes.rows, [{ scope: HOST_ID }]);
      const owned = await pg.query(
        `SELECT host(address) AS address, netns = '' AS own, host_local FROM host_addresses
         WHERE address << '172.29.231.0/24' ORDER BY 1`,
      );
      assert.deepEqual(owned.rows, [
        { address: '172.29.231.1', own: true, host_local: true },
        { address: '172.29.231.2', own: false, host_local: true },
        { address: '172.29.231.3', own: false, host_local: true },
      ]);
    });
  });
});
