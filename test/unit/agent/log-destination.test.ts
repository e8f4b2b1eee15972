import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { logTo } from '../../../src/agent/log-destination.ts';

/** A descriptor that takes `room` bytes a write, and nothing while it is full. */
function descriptor() {
  const state = { text: '', full: false };
  const write = (_: number, bytes: Uint8Array): number => {
    if (state.full) throw new Error('ENOSPC');
    const taken = bytes.subarray(0, 7);
    state.text += Buffer.from(taken).toString();
    return taken.length;
  };
  return { state, write };
}

describe('where the log goes', () => {
  it('gets whole lines, whatever a write takes', () => {
    const { state, write } = descriptor();
    const log = logTo(2, write);
    log.write('a line of more than seven bytes\n');
    log.write('two\n');
    assert.equal(state.text, 'a line of more than seven bytes\ntwo\n');
  });

  it('may take nothing for a while: then it is told how many lines it lacks', () => {
    const { state, write } = descriptor();
    const log = logTo(2, write);
    log.write('one\n');
    state.full = true;
    log.write('two\n');
    log.write('three\n');
    state.full = false;
    log.write('four\n');
    log.write('five\n');
    const told = '{"level":40,"dropped":2,"msg":"log lines were dropped"}\n';
    assert.equal(state.text, `one\n${told}four\nfive\n`);
  });
});
