import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type Counts,
  flowsAmong,
  isExact,
  isExactButForNames,
  judge,
  type StoredFlow,
} from '../../truth/judge.ts';
import { parseTruthLog, type TruthConnection } from '../../truth/truth-log.ts';

function happened(changes: Partial<TruthConnection> = {}): TruthConnection {
  return {
    side: 'active',
    pid: 7,
    exe: '/t/client',
    comm: 'client',
    startTicks: 1,
    netns: 99,
    local: '10.0.0.1',
    localPort: 50_000,
    peer: '10.0.0.2',
    peerPort: 80,
    outcome: 'opened',
    beginMs: 1,
    endMs: 2,
    ...changes,
  };
}

function stored(counts: Partial<Counts>, changes: Partial<StoredFlow> = {}): StoredFlow {
  return {
    side: 'active',
    process: 'client',
    exe: '/t/client',
    activeAddress: '10.0.0.1',
    passiveAddress: '10.0.0.2',
    passivePort: 80,
    netns: null,
    counts: { opened: 0, refused: 0, timedOut: 0, unreachable: 0, other: 0, ...counts },
    open: 0,
    foundBy: ['stream'],
    ...changes,
  };
}

describe('judge', () => {
  it('finds nothing wrong where everything is as it was', () => {
    const other = { exe: '/t/other', outcome: 'refused' } as const;
    const passive = { side: 'passive', local: '10.0.0.2', localPort: 80 } as const;
    const verdict = judge(
      [
        happened(),
        happened(),
        happened(other),
        happened({ ...passive, exe: '/t/server', peer: '10.0.0.1', peerPort: 50_000 }),
      ],
      [
        stored({ opened: 2 }),
        stored({ refused: 1 }, { exe: '/t/other' }),
        stored({ opened: 1 }, { side: 'passive', exe: '/t/server', foundBy: ['snapshot'] }),
      ],
    );
    assert.ok(isExact(verdict) && isExactButForNames(verdict));
    assert.deepEqual(verdict.edges, { of: 2, found: 2 });
    assert.deepEqual(verdict.precision, { of: 3, found: 3 });
    assert.deepEqual(verdict.foundBy, { stream: 1, snapshot: 1 });
  });

  it('tells a missing connection, less what the tracer admits', () => {
    const truth = [happened(), happened(), happened()];
    const verdict = judge(truth, [stored({ opened: 1 })], 1);
    assert.deepEqual([verdict.missing, verdict.unaccounted, verdict.invented], [2, 1, 0]);
    assert.deepEqual(verdict.edges, { of: 1, found: 1 });
    assert.ok(!isExact(verdict) && !isExactButForNames(verdict));
    assert.equal(judge(truth, [], 5).unaccounted, 0);
    assert.deepEqual(judge(truth, []).edges, { of: 1, found: 0 });
  });

  it('tells an invented connection and an invented edge', () => {
    const verdict = judge(
      [happened()],
      [stored({ opened: 2 }), stored({ opened: 1 }, { passivePort: 81 })],
    );
    assert.equal(verdict.invented, 2);
    assert.deepEqual(verdict.precision, { of: 2, found: 1 });
  });

  it('tells the wrong process, and nobody, apart', () => {
    const truth = [happened(), happened()];
    const wrong = judge(truth, [stored({ opened: 1 }), stored({ opened: 1 }, { exe: '/t/other' })]);
    assert.deepEqual([wrong.wrongProcess, wrong.unattributed, wrong.missing], [1, 0, 0]);
    assert.deepEqual(wrong.precision, { of: 2, found: 1 });
    const nobody = judge(truth, [
      stored({ opened: 1 }),
      stored({ opened: 1 }, { exe: null, process: null }),
    ]);
    assert.deepEqual([nobody.wrongProcess, nobody.unattributed], [0, 1]);
    assert.deepEqual(nobody.precision, { of: 1, found: 1 });
    assert.ok(isExactButForNames(nobody) && !isExact(nobody));
  });

  it('tells a failure of the wrong kind', () => {
    const verdict = judge([happened({ outcome: 'timedOut' })], [stored({ refused: 1 })]);
    assert.deepEqual([verdict.missing, verdict.invented], [1, 1]);
    assert.deepEqual(verdict.edges, { of: 0, found: 0 });
  });

  it('compares names where the source has no executables', () => {
    const verdict = judge([happened()], [stored({ opened: 1 }, { exe: null })]);
    assert.ok(isExact(verdict));
  });

  it('leaves out what is not between these connections', () => {
    const kept = [stored({ opened: 1 }), stored({ opened: 1 }, { passivePort: 50_000 })];
    const foreign = [
      stored({ opened: 1 }, { passivePort: 81 }),
      stored({ opened: 1 }, { activeAddress: '10.0.0.9' }),
      stored({ opened: 1 }, { netns: 1 }),
    ];
    assert.deepEqual(flowsAmong([happened()], [...kept, ...foreign]), kept);
  });
});

describe('truth log', () => {
  it('gives outcomes the words of the CMDB', () => {
    const lines = ['established', 'ECONNREFUSED', 'ETIMEDOUT', 'EHOSTUNREACH', 'aborted'];
    const text = lines.map((outcome) => `${JSON.stringify({ ...happened(), outcome })}\n`).join('');
    assert.deepEqual(
      parseTruthLog(text).map(({ outcome }) => outcome),
      ['opened', 'refused', 'timedOut', 'unreachable', 'other'],
    );
  });
});
