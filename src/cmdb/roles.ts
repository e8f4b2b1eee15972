import pg from 'pg';
import { ExitCode, UserError } from '../common/exit-codes.ts';
import { describeError, sqlState } from './errors.ts';
import { type RoleKind, setGrants } from './grants.ts';
import { LOCK_SCHEMA } from './statements/lock-schema.ts';
import { SELECT_ROLE_FACTS } from './statements/select-role-facts.ts';

export const DEFAULT_WRITER = 'transtracer_writer';
export const DEFAULT_READER = 'transtracer_reader';

/** Names of the roles as they are, not quoted. */
export interface RoleNames {
  readonly writer: string;
  readonly reader: string;
}

export interface RolesOutcome {
  /** Roles that did not exist before. They may log in but have no password. */
  readonly created: readonly string[];
  /** What an administrator still has to do, a sentence each. */
  readonly notes: readonly string[];
}

interface RoleFacts {
  readonly name: string;
  readonly is_owner: boolean;
  readonly may_connect: boolean;
  readonly may_stage: boolean;
  readonly may_use: boolean;
  readonly may_create: boolean;
  readonly we_own_schema: boolean;
  readonly schema_name: string;
  readonly database_name: string;
}

const INSUFFICIENT_PRIVILEGE = '42501';
/** Names of the server's own roles and keywords in the place of one. */
const RESERVED_NAME = '42939';

/**
 * `ttctl init --roles`: makes a role for agents and one for those who ask, unless they exist, and
 * gives them exactly the rights they need. In one transaction; again changes nothing.
 * @throws UserError: unsupported when this role may not, usage for roles that can't be restricted
 */
export async function setUpRoles(client: pg.ClientBase, names: RoleNames): Promise<RolesOutcome> {
  if (names.writer === names.reader) {
    throw new UserError(ExitCode.usage, 'the writer and the reader must be two roles');
  }
  await client.query('BEGIN');
  try {
    await client.query(LOCK_SCHEMA);
    const writer = await setUpRole(client, 'writer', names.writer);
    const reader = await setUpRole(client, 'reader', names.reader);
    await client.query('COMMIT');
    return {
      created: [...writer.created, ...reader.created],
      notes: [...new Set([...writer.notes, ...reader.notes])],
    };
  } catch (error) {
    if (sqlState(error) !== undefined || error instanceof UserError) await client.query('ROLLBACK');
    throw explained(error, names);
  }
}

async function setUpRole(
  client: pg.ClientBase,
  kind: RoleKind,
  name: string,
): Promise<RolesOutcome> {
  const role = pg.escapeIdentifier(name);
  const known = await loadFacts(client, name);
  if (known === undefined) {
    const limits = 'LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION';
    await client.query(`CREATE ROLE ${role} ${limits}`);
  }
  const facts = known ?? (await loadFacts(client, name));
  if (facts === undefined) throw new Error(`role ${name} is gone again`);
  if (facts.is_owner) {
    throw new UserError(
      ExitCode.usage,
      `role ${name} is a superuser or owns the CMDB, so nothing can be kept from it: name another`,
    );
  }
  await openDoors(client, kind, role, facts);
  await setGrants(client, kind, role);
  return { created: known === undefined ? [name] : [], notes: await shutDoors(client, facts) };
}

/** Database and schema; granted only where PUBLIC has no such right, since it takes their owner. */
async function openDoors(
  client: pg.ClientBase,
  kind: RoleKind,
  role: string,
  facts: RoleFacts,
): Promise<void> {
  const { database_name: database, schema_name: schema } = facts;
  if (!facts.may_connect) await client.query(`GRANT CONNECT ON DATABASE ${database} TO ${role}`);
  if (!facts.may_use) await client.query(`GRANT USAGE ON SCHEMA ${schema} TO ${role}`);
  if (kind === 'writer' && !facts.may_stage) {
    await client.query(`GRANT TEMPORARY ON DATABASE ${database} TO ${role}`);
  }
}

/** Before PostgreSQL 15 everybody may make tables in `public`. @returns what is left to do */
async function shutDoors(client: pg.ClientBase, facts: RoleFacts): Promise<string[]> {
  if (!facts.may_create) return [];
  const revoke = `REVOKE CREATE ON SCHEMA ${facts.schema_name} FROM PUBLIC`;
  if (facts.we_own_schema) await client.query(revoke);
  const { may_create: still } = (await loadFacts(client, facts.name)) ?? { may_create: false };
  return still
    ? [`role ${facts.name} may still make tables: run ${revoke} as the owner of that schema`]
    : [];
}

async function loadFacts(client: pg.ClientBase, name: string): Promise<RoleFacts | undefined> {
  return (await client.query<RoleFacts>(SELECT_ROLE_FACTS, [name])).rows[0];
}

function explained(error: unknown, { writer, reader }: RoleNames): unknown {
  switch (sqlState(error)) {
    case INSUFFICIENT_PRIVILEGE:
      return new UserError(
        ExitCode.unsupported,
        `may not set up the roles ${writer} and ${reader} (${describeError(error)}): connect as the ` +
          'owner of the CMDB with CREATEROLE, or have both created first (CREATE ROLE ... LOGIN)',
        { cause: error },
      );
    case RESERVED_NAME:
      return new UserError(ExitCode.usage, describeError(error), { cause: error });
    default:
      return error;
  }
}
