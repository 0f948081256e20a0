import { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import { fieldProblem, plainProblem, type Problem } from '../http/index.js';
import {
  compilePolicySet,
  type PolicyFlaw,
  type PolicySet,
  type PolicySetInfo,
  type PolicyStore,
  policyTools,
} from '../policy/index.js';
import type { PolicyFiles, RegistryReader } from '../registry/index.js';
import { placeOf } from './policy-rules.js';
import { ADMINISTRATOR } from './change.js';
import type { InTurn } from './in-turn.js';
import { NoBody, NoQuery, type Operation, operation } from './operation.js';
import { DryRun, pageAfter, pageOf, Paging } from './shapes.js';

/** A set of policies is at most this large as JSON. */
export const SET_LIMIT = 6_291_456;

export const File = z.strictObject({
  path: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,128}\.(cedar|cedarschema|entities\.json)$/)
    .describe('The name of the file, which ends in .cedar; an application has .cedarschema and .entities.json too.'),
  text: z.string().describe('Policies in Cedar, each with an @id, or the schema or entities of an application.'),
});

export const PolicySetView = z.strictObject({
  hash: z.string().describe('SHA-256 over the files: the version that records and tokens name.'),
  active: z.boolean(),
  staged_at: z.iso.datetime(),
  staged_by: z.string(),
  activated_at: z.iso.datetime().nullable(),
  activated_by: z.string().nullable(),
  replaced: z.string().nullable().describe('The set that was active before this one, which a rollback activates.'),
});
type PolicySetView = z.infer<typeof PolicySetView>;

const Staged = z.strictObject({
  result: z.enum(['staged', 'known', 'would_be_staged']),
  hash: z.string(),
  policies: z.number().int().describe('How many policies it has.'),
});
const Activated = z.strictObject({
  result: z.enum(['activated', 'would_be_activated']),
  hash: z.string(),
  before: z.string().nullable(),
  version: z.number().int().describe('The version of registry and policies from which on it decides.'),
});

const HASH = 'sha256:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU';
const OTHER = 'sha256:n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg';
export const FILES = [
  {
    path: 'reads.cedar',
    text: '@id("people-read")\npermit (principal is Person, action in Action::"read", resource);\n\n@id("agents-read")\npermit (principal is Agent, action in Action::"read", resource);\n',
  },
];
const EXAMPLE: PolicySetView = {
  hash: HASH,
  active: true,
  staged_at: '2026-11-22T09:00:00.000Z',
  staged_by: 'admin-token',
  activated_at: '2026-11-22T09:10:00.000Z',
  activated_by: 'admin-token',
  replaced: OTHER,
};

const ACTIVATED = {
  status: 200,
  about: 'It is active.',
  schema: Activated,
  example: { result: 'activated', hash: HASH, before: OTHER, version: 42 },
} as const;

export type PolicyDeps = Readonly<{ policies: PolicyStore; registry: RegistryReader; inTurn: InTurn }>;

/** Stage, activate and roll back sets of policies. A set is refused whole or stored whole. */
export const policyOperations = (deps: PolicyDeps): readonly Operation[] => [
  operation({
    id: 'listPolicySets',
    method: 'GET',
    path: '/admin/v1/policies',
    about: 'Lists the policy sets, the newest first.',
    query: Paging,
    body: NoBody,
    answers: [
      { status: 200, about: 'A page.', schema: pageOf(PolicySetView), example: { items: [EXAMPLE], next: null } },
    ],
    run: async ({ query }) => {
      const page = pageAfter(await deps.policies.list(), query, ({ hash }) => hash);
      return page.ok ? ok({ status: 200, body: { ...page.value, items: page.value.items.map(viewOf) } }) : page;
    },
  }),
  operation({
    id: 'getPolicySet',
    method: 'GET',
    path: '/admin/v1/policies/:hash',
    params: { hash: 'The hash of the set.' },
    about: 'Shows the files of a policy set.',
    query: NoQuery,
    body: NoBody,
    answers: [
      {
        status: 200,
        about: 'The set.',
        schema: z.strictObject({ hash: z.string(), files: z.array(File) }),
        example: { hash: HASH, files: FILES },
      },
    ],
    problems: ['not_found'],
    run: async ({ params: { hash = '' } }) => {
      const set = await deps.policies.read(hash);
      return set === undefined ? err(unknown(hash)) : ok({ status: 200, body: set });
    },
  }),
  operation({
    id: 'stagePolicySet',
    method: 'POST',
    path: '/admin/v1/policies',
    about: 'Checks a policy set against the tools there are and keeps it. It decides nothing before it is activated.',
    query: DryRun,
    body: z.strictObject({ files: z.array(File).min(1).max(500) }),
    bodyExample: { files: FILES },
    bodyLimit: SET_LIMIT,
    answers: [
      {
        status: 201,
        about: 'It is kept, now or since earlier.',
        schema: Staged,
        example: { result: 'staged', hash: HASH, policies: 2 },
      },
    ],
    run: async ({ query, body: { files } }) => {
      const checked = check(files, await deps.registry.refresh());
      if (!checked.ok) return checked;
      const { hash, policies } = checked.value;
      const result =
        query.dry_run === 'true' ? 'would_be_staged' : await deps.policies.stage({ hash, files }, ADMINISTRATOR);
      return ok({ status: 201, body: { result, hash, policies: policies.length } });
    },
  }),
  operation({
    id: 'activatePolicySet',
    method: 'POST',
    path: '/admin/v1/policies/:hash/activate',
    params: { hash: 'The hash of the set.' },
    about: 'Lets a kept policy set decide, in one step that every later exchange obeys.',
    query: DryRun,
    body: NoBody,
    answers: [ACTIVATED],
    problems: ['not_found', 'conflict'],
    run: ({ params: { hash = '' }, query }) => deps.inTurn(() => activate(hash, query.dry_run === 'true', deps)),
  }),
  operation({
    id: 'rollBackPolicySet',
    method: 'POST',
    path: '/admin/v1/policies/rollback',
    about: 'Activates again the policy set that was active before the present one.',
    query: DryRun,
    body: NoBody,
    answers: [ACTIVATED],
    problems: ['not_found', 'conflict'],
    run: ({ query }) =>
      deps.inTurn(async () => {
        const active = (await deps.policies.list()).find(({ isActive }) => isActive);
        if (active?.replaced === undefined)
          return err(plainProblem('conflict', 'There is no earlier policy set to go back to'));
        return activate(active.replaced, query.dry_run === 'true', deps);
      }),
  }),
];

async function activate(
  hash: string,
  dryRun: boolean,
  { policies, registry }: PolicyDeps,
): Promise<Result<{ status: 200; body: object }, Problem>> {
  const set = await policies.read(hash);
  if (set === undefined) return err(unknown(hash));
  const snapshot = await registry.refresh();
  // The tools may have changed since it was staged.
  const fits = check(set.files, snapshot);
  if (!fits.ok) return fits;
  const before = snapshot.policies?.hash ?? null;
  if (dryRun)
    return ok({ status: 200, body: { result: 'would_be_activated', hash, before, version: snapshot.version } });
  const done = await policies.activate(hash, { by: ADMINISTRATOR, basis: snapshot.version });
  if (!done.ok)
    return err(
      done.error === 'unknown'
        ? unknown(hash)
        : plainProblem('conflict', 'The registry changed while the set was checked against it; try again'),
    );
  await registry.refresh();
  const { version } = done.value;
  return ok({ status: 200, body: { result: 'activated', hash, before: done.value.before ?? null, version } });
}

export function check(
  files: PolicyFiles['files'],
  registry: Awaited<ReturnType<RegistryReader['refresh']>>,
): Result<PolicySet, Problem> {
  const set = compilePolicySet(files, policyTools(registry.servers));
  return set.ok ? set : err(fieldProblem(set.error.slice(0, 100).map(fieldOf)));
}

const fieldOf = (flaw: PolicyFlaw): { param: string; detail: string } => ({
  param: `files ${placeOf(flaw)}`,
  detail: flaw.problem,
});

const unknown = (hash: string): Problem => plainProblem('not_found', `There is no policy set ${hash}`);

const viewOf = (info: PolicySetInfo): PolicySetView => ({
  hash: info.hash,
  active: info.isActive,
  staged_at: new Date(info.stagedAt).toISOString(),
  staged_by: info.stagedBy,
  activated_at: info.activatedAt === undefined ? null : new Date(info.activatedAt).toISOString(),
  activated_by: info.activatedBy ?? null,
  replaced: info.replaced ?? null,
});
