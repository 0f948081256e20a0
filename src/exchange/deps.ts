import type { Clock, Seconds } from '../base/index.js';
import type { KeySource } from '../client/index.js';
import type { ActivePolicies, DecisionInputs, DecisionPoints } from '../policy/index.js';
import type { Budget } from '../protocol/index.js';
import type { RegistryReader } from '../registry/index.js';
import type { KeyRing, Lifetimes } from '../token/index.js';
import type { TransactionHandles } from './handle.js';
import type { Committer, Deferrals, Drift, People } from './ports.js';
import type { Remembered } from './remembered.js';

export type ExchangeSettings = Readonly<{
  issuer: string;
  tokenEndpoint: string;
  trustDomain: string;
  maxActors: number;
  skew: Seconds;
  lifetimes: Lifetimes;
  sessionLife: Seconds;
  /** Budgets that hold for every agent. */
  budgets: readonly Budget[];
}>;

export type ExchangeDeps = Readonly<{
  settings: ExchangeSettings;
  clock: Clock;
  registry: RegistryReader;
  keys: KeyRing;
  clientKeys: KeySource;
  remembered: Remembered;
  people: People;
  policies: ActivePolicies;
  /** `undefined` where none is configured. */
  decisionPoints: DecisionPoints | undefined;
  inputs: DecisionInputs;
  committer: Committer;
  drift: Drift;
  handles: TransactionHandles;
  /** `undefined` where exchanges do not wait for people. */
  deferrals: Deferrals | undefined;
}>;
