import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { JsonlOutput } from '../../../src/agent/jsonl-output.ts';
import { Flow } from '../../../src/flow/flow.ts';
import type { Side } from '../../../src/flow/records.ts';
import { counts, named } from './fakes.ts';

const HOST = '00000000-0000-4000-8000-000000000001';

function flow(side: Side = 'active', processId = '7'): Flow {
  const edge = { activeAddress: '10.0.0.1', passiveAddress: '10.0.0.2', passivePort: 80 };
  return new Flow({ ...edge, scope: '', flowId: '1', edgeId: '2', side, processId }, 1_000, 0);
}

function printing() {
  const lines: string[] = [];
  const output = new JsonlOutput({ write: (text) => lines.push(String(text)) > 0 }, HOST);
  return { output, printed: () => lines.splice(0).map((line) => JSON.parse(line)) };
}

describe('--output jsonl', () => {
  it('prints a flow at once when it is first seen', () => {
    const { output, printed } = printing();
    const first = flow();
    first.add(counts({ opened: 2, closed: 1, bytesSent: 5n }), 1_000, 2_000, ['stream']);
    output.firstSeen(first, named('7', 42), 50_000);
    assert.deepEqual(printed(), [
      {
        event: 'flow',
        direction: 'active',
        process: 'p7',
        exe: named('7', 42).record.exe,
        pid: 42,
        peerPort: 50_000,
        active: `${HOST}:7`,
        passive: null,
        proto: 'tcp',
        activeAddress: '10.0.0.1',
        passiveAddress: '10.0.0.2',
        passivePort: 80,
        scope: '',
        connections: 2,
        failed: 0,
        failures: { refused: 0, timedOut: 0, unreachable: 0, other: 0 },
        open: 1,
        bytesToPassive: 5,
        bytesToActive: 0,
        firstSeen: '1970-01-01T00:00:01.000Z',
        lastSeen: '1970-01-01T00:00:02.000Z',
        seenBy: 'active',
        foundBy: ['stream'],
      },
    ]);
  });

  it('prints at a flush what changed since, and each flow once', () => {
    const { output, printed } = printing();
    const seen = flow();
    output.firstSeen(seen, named('7'), null);
    printed();
    seen.add(counts({ opened: 1 }), 1_000, 2_000, ['stream']);
    output.changed(seen, named('7'));
    seen.add(counts({ opened: 1 }), 1_000, 3_000, ['stream']);
    output.changed(seen, named('7'));
    assert.deepEqual(printed(), []);
    output.flush();
    assert.deepEqual(
      printed().map(({ connections }) => connections),
      [2],
    );
    output.changed(seen, named('7'));
    output.flush();
    assert.deepEqual(printed(), []);
  });

  it('prints a flow whose process nobody knows', () => {
    const { output, printed } = printing();
    output.changed(flow('passive', '0'), null);
    output.flush();
    const [line] = printed();
    assert.deepEqual(
      [line.process, line.pid, line.active, line.passive, line.direction, line.seenBy],
      [null, null, null, `${HOST}:0`, 'passive', 'passive'],
    );
  });

  it('prints counts that JSON readers would round as strings', () => {
    const { output, printed } = printing();
    const big = flow();
    big.add(counts({ bytesSent: 2n ** 53n, bytesReceived: 2n ** 53n - 1n }), 1, 2, ['stream']);
    output.firstSeen(big, null, null);
    const [line] = printed();
    assert.equal(line.bytesToPassive, '9007199254740992');
    assert.equal(line.bytesToActive, 9_007_199_254_740_991);
  });
});
