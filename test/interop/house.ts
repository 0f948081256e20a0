import { stringify } from 'yaml';
import { authorize, Browser } from '../support/browser.js';
import { ALICE, type Company, startCompany } from '../support/company.js';
import { type Client, startWorld, type World } from '../support/world.js';
import { freePort } from '../support/writ.js';

export const CALLBACK = 'http://127.0.0.1:7999/callback';

/** Writ as it is run, with a company where people sign in and an agent that may ask them. */
export type House = World & Readonly<{ company: Company; signIn(link: URL): Promise<URL> }>;

export async function startHouse(): Promise<House> {
  const issuer = `http://127.0.0.1:${await freePort()}`;
  const company = await startCompany({ writIssuer: issuer });
  const { id, name, clientId, credential } = company.identityProvider;
  if (credential.kind !== 'secret') throw new Error('the company gives secrets');
  const provider = { id, name, issuer: company.issuer, clientId, clientSecret: credential.secret };
  const world = await startWorld({ env: { WRIT_ISSUER: issuer }, file: stringify({ identityProviders: [provider] }) });
  await addRedirect(world, world.a1);
  return {
    ...world,
    company,
    /** Alice opens the agent's link, signs in at the company and says yes. */
    signIn: (link) => authorize(new Browser(), link.href, { redirectUri: CALLBACK, employee: ALICE }),
    close: async () => {
      await world.close();
      await company.stop();
    },
  };
}

async function addRedirect(world: World, { id }: Client): Promise<void> {
  const agent = (await world.admin('GET', `/agents/${id}`)).body as Record<string, unknown>;
  const changed = await world.admin('PUT', `/agents/${id}`, { ...agent, redirect_uris: [CALLBACK] });
  if (changed.status !== 200) throw new Error(changed.text);
}

/** The key of a client as the platform's own cryptography wants it. */
export const webKey = ({ key }: Client) =>
  crypto.subtle.importKey(
    'jwk',
    key.privateKey.export({ format: 'jwk' }),
    { name: 'ECDSA', namedCurve: 'P-256' },
    false,
    ['sign'],
  );

export const proofKeys = () =>
  crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
