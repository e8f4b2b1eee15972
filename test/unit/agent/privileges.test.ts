import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  checkPrivileges,
  effectiveCapabilities,
  missingForTracing,
} from '../../../src/agent/privileges.ts';
import { UserError } from '../../../src/common/exit-codes.ts';

const status = (capEff: string) => `Name:\tnode\nCapPrm:\tffffffffffffffff\nCapEff:\t${capEff}\n`;
const ALL = status('000001ffffffffff');
const NONE = status('0000000000000000');
/** DAC_READ_SEARCH, SYS_PTRACE, PERFMON, BPF. */
const LEAST = status((4n + (1n << 19n) + (1n << 38n) + (1n << 39n)).toString(16).padStart(16, '0'));

describe('privileges', () => {
  it('are read from the effective set', () => {
    assert.deepEqual(effectiveCapabilities(NONE), new Set());
    assert.deepEqual(effectiveCapabilities(''), new Set());
    assert.deepEqual(
      effectiveCapabilities(LEAST),
      new Set(['CAP_DAC_READ_SEARCH', 'CAP_SYS_PTRACE', 'CAP_PERFMON', 'CAP_BPF']),
    );
    assert.equal(effectiveCapabilities(ALL).size, 5);
  });

  it('are enough without root', () => {
    assert.equal(missingForTracing(effectiveCapabilities(LEAST)), null);
    assert.equal(checkPrivileges({ mode: 'auto', once: false }, LEAST), null);
  });

  it('are named when they are missing', () => {
    assert.match(missingForTracing(new Set(['CAP_SYS_ADMIN'])) ?? '', /^CAP_SYS_PTRACE and/);
    assert.match(
      missingForTracing(new Set(['CAP_BPF', 'CAP_SYS_PTRACE', 'CAP_DAC_READ_SEARCH'])) ?? '',
      /^CAP_BPF and CAP_PERFMON \(or CAP_SYS_ADMIN\) to trace in the kernel$/,
    );
  });

  it('lacking, end the agent and say what works without', () => {
    assert.throws(
      () => checkPrivileges({ mode: 'auto', once: false }, NONE),
      (error: unknown) =>
        error instanceof UserError &&
        error.exitCode === 3 &&
        /^missing CAP_BPF .*; CAP_SYS_PTRACE .*\. Run as root; --mode poll works without/.test(
          error.message,
        ),
    );
  });

  it('lacking, are no more than a warning for polling and for one snapshot', () => {
    for (const options of [
      { mode: 'poll', once: false },
      { mode: 'auto', once: true },
    ] as const) {
      assert.match(checkPrivileges(options, NONE) ?? '', /^names only processes of this user/);
    }
  });
});
