import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { aboutCall, ask, personOf } from '../support/authzen.js';
import { agreeable, json, startPoint, type TestPoint } from '../support/decision-point.js';
import { RS1, startWorld, type World } from '../support/world.js';
import { answerOf } from '../support/writ.js';

let world: World;
let point: TestPoint;
let alice: string;
beforeAll(async () => {
  point = await startPoint();
  const file = JSON.stringify({
    decisionPoints: [{ id: 'company', url: `${point.address}/access/v1/evaluation`, servers: [RS1] }],
  });
  world = await startWorld({ file });
  alice = await personOf(world, 'alice');
});
afterAll(async () => {
  await world.close();
  await point.close();
  expect(world.faults).toEqual([]);
});

it('a question is a yes only where every other decision point of the server says yes too, and the log has its word', async () => {
  const question = aboutCall(alice, 'read_file');
  point.behave(agreeable);
  expect((await ask(world, 'evaluation', question, world.rs1)).body).toMatchObject({ decision: true });
  point.behave(json({ decision: false }));
  expect(answerOf(await ask(world, 'evaluation', question, world.rs1))).toEqual([
    200,
    {
      decision: false,
      context: {
        evaluation_id: expect.stringMatching(/^dec_/),
        evaluated_at: expect.stringMatching(/Z$/),
        reason: 'decision_point_refuses',
        reasons: ['A decision point beside Writ refuses this call.'],
        tool: 'read_file',
        term: 'policy',
        policies: [],
        remedy: 'change_policy',
      },
    },
  ]);
  const { body } = await world.admin('GET', '/log?kind=decision&limit=200');
  const { items } = body as { items: { facts: { opinions: object[] } }[] };
  expect(items.map(({ facts }) => facts.opinions)).toMatchObject([
    [{ point: 'company', says: 'yes', because: 'decided' }],
    [{ point: 'company', says: 'no', because: 'decided' }],
  ]);
});
