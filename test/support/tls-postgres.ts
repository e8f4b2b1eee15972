import { randomInt } from 'node:crypto';
import { chown, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { startTestEmbedded, temporaryDirectory, withClient } from './postgres.ts';
import { eventually } from './processes.ts';
import { run } from './run.ts';

/** A PostgreSQL that speaks TLS on two loopback addresses, with certificates of its own. */
export interface TlsPostgres {
  /** The certificate names this address, and {@link TlsPostgres.name}. */
  readonly address: string;
  /** It does not name this one. */
  readonly otherAddress: string;
  readonly name: string;
  /** Who signed the server's certificate and that of the client. */
  readonly authority: string;
  /** An authority that did not. */
  readonly otherAuthority: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
  readonly database: string;
  /** Turns TLS on or off for new connections. */
  setTls(on: boolean): Promise<void>;
  stop(): Promise<void>;
}

const NAME = 'cmdb.test';

/** Who gets in how; `trust`, since the tests ask about encryption and not about passwords. */
const HBA = `local all all peer map=transtracer
hostssl all tls_only 127.0.0.0/8 trust
hostnossl all plain_only 127.0.0.0/8 trust
hostssl all by_certificate 127.0.0.0/8 cert
host all either 127.0.0.0/8 trust
`;
const USERS = ['tls_only', 'plain_only', 'by_certificate', 'either'];

async function openssl(directory: string, ...argv: string[]): Promise<void> {
  const { code, stderr } = await run('sh', [
    '-c',
    'cd "$0" && exec "$@"',
    directory,
    'openssl',
    ...argv,
  ]);
  if (code !== 0) throw new Error(`openssl ${argv.join(' ')}: ${stderr}`);
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

async function makeAuthority(directory: string, name: string): Promise<string> {
  await openssl(
    ...[directory, 'req', '-x509', ...KEY, '-days', '2', '-subj', `/CN=${name}`],
    ...['-keyout', `${name}.key`, '-out', `${name}.crt`],
  );
  return join(directory, `${name}.crt`);
}

async function sign(
  directory: string,
  file: string,
  subject: string,
  names: string,
): Promise<void> {
  await writeFile(join(directory, `${file}.ext`), `subjectAltName=${names}\n`);
  await openssl(
    ...[
      directory,
      'req',
      ...KEY,
      '-subj',
      subject,
      '-keyout',
      `${file}.key`,
      '-out',
      `${file}.csr`,
    ],
  );
  await openssl(
    ...[directory, 'x509', '-req', '-in', `${file}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key'],
    ...['-CAcreateserial', '-days', '2', '-extfile', `${file}.ext`, '-out', `${file}.crt`],
  );
}

/** Starts one; loopback addresses by chance, so that it meets no other server on the usual port. */
export async function startTlsPostgres(): Promise<TlsPostgres> {
  const dataDir = await temporaryDirectory();
  const byte = () => randomInt(2, 250);
  const net = `127.${byte()}.${byte()}`;
  const [address, otherAddress] = [`${net}.1`, `${net}.2`];
  const authority = await makeAuthority(dataDir, 'ca');
  const otherAuthority = await makeAuthority(dataDir, 'other-ca');
  await sign(dataDir, 'server', `/CN=${NAME}`, `DNS:${NAME},IP:${address}`);
  await sign(dataDir, 'client', '/CN=by_certificate', 'DNS:client.test');
  await configure(dataDir, `${address},${otherAddress}`);
  const server = await startTestEmbedded(dataDir);
  return {
    address,
    otherAddress,
    name: NAME,
    authority,
    otherAuthority,
    clientCertificate: join(dataDir, 'client.crt'),
    clientKey: join(dataDir, 'client.key'),
    database: String(server.config.database),
    setTls: async (on) => {
      const ssl = on ? 'on' : 'off';
      await set(server.config, { ssl });
      await eventually(async () => {
        const { rows } = await withClient(server.config, (client) => client.query('SHOW ssl'));
        return rows[0]?.ssl === ssl;
      });
    },
    stop: async () => {
      await server.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Makes the cluster, and has what is set here hold from the next start. */
async function configure(dataDir: string, addresses: string): Promise<void> {
  const server = await startTestEmbedded(dataDir);
  try {
    const { rows } = await withClient(server.config, (client) =>
      client.query<{ data_directory: string }>('SHOW data_directory'),
    );
    const cluster = rows[0]?.data_directory ?? '';
    const { uid, gid } = await stat(cluster);
    await writeFile(join(dataDir, 'hba.conf'), HBA);
    for (const name of ['server.key', 'server.crt', 'ca.crt', 'hba.conf']) {
      await chown(join(dataDir, name), uid, gid);
    }
    for (const user of USERS) {
      await withClient(server.config, (client) =>
        client.query(`CREATE ROLE ${user} LOGIN SUPERUSER`),
      );
    }
    await set(server.config, {
      listen_addresses: addresses,
      hba_file: join(dataDir, 'hba.conf'),
      ssl_cert_file: join(dataDir, 'server.crt'),
      ssl_key_file: join(dataDir, 'server.key'),
      ssl_ca_file: join(dataDir, 'ca.crt'),
      ssl: 'on',
    });
  } finally {
    await server.stop();
  }
}

async function set(
  config: pg.ClientConfig,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  await withClient(config, async (client) => {
    for (const [name, value] of Object.entries(settings)) {
      await client.query(`ALTER SYSTEM SET ${name} = '${value}'`);
    }
    await client.query('SELECT pg_reload_conf()');
  });
}
