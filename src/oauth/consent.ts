import { isCrossSite } from '../http/index.js';
import { z } from 'zod';
import {
  consentPage,
  type ConsentProblem,
  type ConsentRequest,
  consentRequest,
  continuePage,
  type Narrowing,
  narrowed,
  type Person,
} from '../human/index.js';
import { isUsable, personIdIn } from '../registry/index.js';
import { keepCalls, keepSignIn } from './library.js';
import { readForm } from './requests.js';
import { finish, type Interaction, type InteractionDeps, refusal, type Step } from './step.js';
import { answer, outdated } from './troubles.js';

export async function showConsent(step: Step, interaction: Interaction, problem?: ConsentProblem): Promise<void> {
  const { context, deps } = step;
  const request = await whatIsAsked(step, interaction);
  if (request === undefined) {
    outdated(context);
    return;
  }
  const action = `${deps.issuer}/interaction/${interaction.uid}/consent`;
  answer(
    context,
    consentPage(request, {
      ...{ action, problem, signOut: `${deps.issuer}/sign-out` },
      token: deps.secrets.consentToken(interaction.uid, request),
    }),
  );
}

async function whatIsAsked({ deps }: Step, interaction: Interaction): Promise<ConsentRequest | undefined> {
  const registry = deps.registry.current();
  const { client_id: clientId, redirect_uri: redirectUri } = Asked.parse(interaction.params);
  const agent = registry.agent(clientId);
  const person = await personOf(deps, interaction);
  if (agent === undefined || !isUsable(agent, deps.clock.now()) || person === undefined) return undefined;
  const { own, resource } = missing(interaction, deps.issuer);
  const owner = await nameOf(deps, agent.owner);
  return consentRequest(registry, {
    ...{ agent: { ...agent, owner }, person, redirectUri },
    scopes: [...own, ...resource],
    longest: deps.consentSeconds,
  });
}

const Asked = z.looseObject({ client_id: z.string(), redirect_uri: z.string() });

/** Who answers for an agent, as people call them. */
async function nameOf({ people }: InteractionDeps, owner: string): Promise<string> {
  const id = personIdIn(owner);
  const attributes = id === undefined ? undefined : (await people.byId(id))?.attributes;
  return attributes?.name ?? attributes?.email ?? owner;
}

async function personOf({ people }: InteractionDeps, interaction: Interaction): Promise<Person | undefined> {
  const id = interaction.session?.accountId;
  const person = id === undefined ? undefined : await people.byId(id);
  return person?.status === 'active' ? person : undefined;
}

const Missing = z.looseObject({
  missingOIDCScope: z.array(z.string()).default([]),
  missingResourceScopes: z.record(z.string(), z.array(z.string())).default({}),
});

function missing(
  interaction: Interaction,
  issuer: string,
): Readonly<{ own: readonly string[]; resource: readonly string[] }> {
  const { missingOIDCScope, missingResourceScopes } = Missing.parse(interaction.prompt.details);
  return { own: missingOIDCScope, resource: missingResourceScopes[issuer] ?? [] };
}

export async function decideConsent(step: Step, interaction: Interaction): Promise<void> {
  const { context, deps } = step;
  const form = await readForm(context);
  const request = await whatIsAsked(step, interaction);
  if (form === undefined || request === undefined || isCrossSite(context, deps.issuer)) {
    outdated(context);
    return;
  }
  const decision = form.get('decision');
  if (!deps.secrets.isConsentToken(form.get('token') ?? '', interaction.uid, request)) {
    await showConsent(step, interaction, 'changed');
  } else if (decision === 'allow') {
    await allow(step, interaction, narrowed(request, choiceOf(form)));
  } else {
    answer(
      context,
      continuePage(await finish(step, interaction, refusal('access_denied', 'the person did not allow it'))),
    );
  }
}

/** What the form says; anything else than numbers chooses nothing. */
function choiceOf(form: URLSearchParams): Parameters<typeof narrowed>[1] {
  const lasts = form.get('lasts');
  const calls = form.get('calls')?.trim() ?? '';
  return {
    tools: new Set(form.getAll('tool').map((place) => (/^\d{1,4}$/.test(place) ? Number(place) : -1))),
    readsOnly: form.has('reads_only'),
    lasts: lasts === null ? undefined : Number(lasts),
    calls: calls === '' ? undefined : /^\d{1,7}$/.test(calls) ? Number(calls) : NaN,
  };
}

async function allow(step: Step, interaction: Interaction, choice: ReturnType<typeof narrowed>): Promise<void> {
  if (!choice.ok) {
    await showConsent(step, interaction, choice.error);
    return;
  }
  const grantId = await grant(step, interaction, choice.value);
  if (grantId === undefined) {
    outdated(step.context);
    return;
  }
  answer(step.context, continuePage(await finish(step, interaction, { consent: { grantId } })));
}

/** `undefined`: the sign-in that it would be given in is over. */
async function grant(
  { provider, deps }: Step,
  interaction: Interaction,
  { scopes, tools, lasts, calls }: Narrowing,
): Promise<string | undefined> {
  const { own, resource } = missing(interaction, deps.issuer);
  const uid = interaction.session?.uid;
  const signIn = uid === undefined ? undefined : await provider.Session.findByUid(uid);
  if (signIn === undefined) return undefined;
  const given = new provider.Grant({
    accountId: interaction.session?.accountId,
    clientId: String(interaction.params['client_id']),
    ...(lasts === undefined ? {} : { expiresIn: lasts }),
  });
  keepSignIn(given, signIn);
  if (calls !== undefined) keepCalls(given, calls);
  if (own.length > 0) given.addOIDCScope(own.join(' '));
  const left = scopes === undefined ? resource : resource.filter((scope) => scopes.includes(scope));
  if (left.length > 0) given.addResourceScope(deps.issuer, left.join(' '));
  const refused = resource.filter((scope) => !left.includes(scope));
  if (refused.length > 0) given.rejectResourceScope(deps.issuer, refused.join(' '));
  for (const tool of tools ?? []) given.addRar(tool);
  return given.save();
}
