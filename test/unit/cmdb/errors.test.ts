import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import pg from 'pg';
import {
  CmdbRejected,
  CmdbUnavailable,
  classifyWriteError,
  describeError,
} from '../../../src/cmdb/errors.ts';
import { ExitCode, UserError } from '../../../src/common/exit-codes.ts';

function serverError(code: string): pg.DatabaseError {
  const error = new pg.DatabaseError(`server says ${code}`, 10, 'error');
  error.severity = 'ERROR';
  error.code = code;
  return error;
}

describe('classifyWriteError', () => {
  it('retries what may pass: network, shutdown, locks, disk, pruned partitions, worker down', () => {
    const broken = Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' });
    assert.ok(classifyWriteError(broken) instanceof CmdbUnavailable);
    for (const code of ['57P01', '40P01', '40001', '53100', '08006', '23514', '42P01', '57014']) {
      assert.ok(classifyWriteError(serverError(code)) instanceof CmdbUnavailable, code);
    }
  });

  it('asks for everything again when rows of earlier flushes are missing', () => {
    const error = classifyWriteError(serverError('23503'));
    assert.ok(error instanceof CmdbUnavailable && error.resendAll);
  });

  it('gives up on content no server would take', () => {
    for (const code of ['22P02', '22021', '23502', '21000']) {
      assert.ok(classifyWriteError(serverError(code)) instanceof CmdbRejected, code);
    }
    assert.ok(classifyWriteError(new RangeError('0.5 is not an integer')) instanceof CmdbRejected);
  });

  it('passes refusals of the schema through', () => {
    const refusal = new UserError(ExitCode.cmdbSchema, 'newer');
    assert.equal(classifyWriteError(refusal), refusal);
  });
});

describe('describeError', () => {
  it('puts the reasons of an empty aggregate on one line', () => {
    const reasons = [
      new Error('connect\nECONNREFUSED ::1'),
      new Error('connect ECONNREFUSED 127.0.0.1'),
    ];
    const text = describeError(new AggregateError(reasons));
    assert.equal(text, 'connect ECONNREFUSED ::1; connect ECONNREFUSED 127.0.0.1');
  });
});
