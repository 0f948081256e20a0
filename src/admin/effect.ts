import { err, ok } from '../base/index.js';
import { plainProblem } from '../http/index.js';
import type { PolicyStore } from '../policy/index.js';
import type { RegistryReader } from '../registry/index.js';
import { ChangeEffect, EXAMPLE_EFFECT, foreseeRules, type ForesightDeps } from './foresight.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
import { check } from './policies.js';

export type EffectDeps = ForesightDeps & Readonly<{ policies: PolicyStore; registry: RegistryReader }>;

/** What activating a set would end. */
export const effectOperation = (deps: EffectDeps): Operation =>
  operation({
    id: 'previewPolicySet',
    method: 'GET',
    path: '/admin/v1/policies/:hash/effect',
    params: { hash: 'The hash of the set.' },
    about:
      'Decides again, by this policy set, over the tokens that are live, and answers which sessions would lose what.',
    query: NoQuery,
    body: NoBody,
    answers: [{ status: 200, about: 'What would end.', schema: ChangeEffect, example: EXAMPLE_EFFECT }],
    problems: ['not_found'],
    run: async ({ params: { hash = '' } }) => {
      const files = (await deps.policies.read(hash))?.files;
      if (files === undefined) return err(plainProblem('not_found', `There is no policy set ${hash}`));
      const registry = await deps.registry.refresh();
      const set = check(files, registry);
      if (!set.ok) return set;
      const { issuer, clock, publishedKeys } = deps;
      const rules = { set: set.value, registry, issuer, now: clock.now(), publishedKeys };
      return ok({ status: 200, body: await foreseeRules(rules, deps) });
    },
  });
