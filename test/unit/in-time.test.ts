import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { answerInTime } from '../../src/http/index.js';

const never = (): Promise<string> => new Promise(() => undefined);
const late = { code: 'database_unavailable', message: 'The database does not answer within 20 ms.' };

describe('an answer in time', () => {
  it('is the answer of its work, or what that throws, and is not over', async () => {
    const asked: (() => boolean)[] = [];
    const begin = (isOver: () => boolean): Promise<string> => {
      asked.push(isOver);
      return Promise.resolve('done');
    };
    expect(await answerInTime(begin, undefined, 20)).toBe('done');
    await expect(answerInTime(() => Promise.reject(new TypeError('a bug')), undefined, 20)).rejects.toThrow(TypeError);
    await pause(40);
    expect(asked.map((isOver) => isOver())).toEqual([false]);
  });

  it('is an outage when it is late, and its work can see that it is over', async () => {
    const seen: boolean[] = [];
    const work = async (isOver: () => boolean): Promise<void> => {
      seen.push(isOver());
      while (!isOver()) await pause(5);
      seen.push(isOver());
      throw new Error('nobody hears this');
    };
    await expect(answerInTime(work, undefined, 20)).rejects.toMatchObject(late);
    while (seen.length < 2) await pause(5);
    expect(seen).toEqual([false, true]);
  });

  it('waits for a body that is still on its way', async () => {
    const request = { complete: false };
    let settled = false;
    const answer = answerInTime(never, request, 20).finally(() => {
      settled = true;
    });
    await pause(70);
    expect(settled).toBe(false);
    request.complete = true;
    await expect(answer).rejects.toMatchObject(late);
  });
});
