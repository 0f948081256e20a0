import { z } from 'zod';
import { err, ok } from '../base/index.js';
import { plainProblem } from '../http/index.js';
import type { PolicyStore } from '../policy/index.js';
import type { RegistryReader } from '../registry/index.js';
import { ChangeEffect, EXAMPLE_EFFECT, foreseeRules, type ForesightDeps } from './foresight.js';
import { NoBody, type Operation, operation } from './operation.js';
import { check } from './policies.js';

const Effect = ChangeEffect.extend({
  next: z
    .string()
    .nullable()
    .describe('`after` of the next call, which goes on from there; null when there is no more.'),
});

export type EffectDeps = ForesightDeps & Readonly<{ policies: PolicyStore; registry: RegistryReader }>;

/** What activating a set would end. */
export const effectOperation = (deps: EffectDeps): Operation => {
  const compiled = remembering();
  return operation({
    id: 'previewPolicySet',
    method: 'GET',
    path: '/admin/v1/policies/:hash/effect',
    params: { hash: 'The hash of the set.' },
    about:
      'Decides again, by this policy set, over the tokens that are live, and answers which sessions would lose what.',
    query: z.strictObject({
      after: z
        .string()
        .regex(/^\d{1,18}$/, { error: 'must be `next` of the call before' })
        .default('0')
        .describe('`next` of the call before, where there was no time for more.'),
    }),
    body: NoBody,
    answers: [{ status: 200, about: 'What would end.', schema: Effect, example: { ...EXAMPLE_EFFECT, next: null } }],
    problems: ['not_found'],
    run: async ({ params: { hash = '' }, query: { after } }) => {
      const files = (await deps.policies.read(hash))?.files;
      if (files === undefined) return err(plainProblem('not_found', `There is no policy set ${hash}`));
      const registry = await deps.registry.refresh();
      const set = compiled(hash, files, registry);
      if (!set.ok) return set;
      const { issuer, clock, publishedKeys } = deps;
      const rules = { set: set.value, registry, issuer, now: clock.now(), publishedKeys };
      return ok({ status: 200, body: await foreseeRules(rules, after, deps) });
    },
  });
};

/** The set of the last call: whoever goes on has nobody wait for it to be compiled once more. */
function remembering(): (hash: string, ...of: Parameters<typeof check>) => ReturnType<typeof check> {
  let last: Readonly<{ key: string; set: ReturnType<typeof check> }> | undefined;
  return (hash, files, registry) => {
    const key = `${hash} of ${String(registry.version)}`;
    if (last?.key !== key) last = { key, set: check(files, registry) };
    return last.set;
  };
}
