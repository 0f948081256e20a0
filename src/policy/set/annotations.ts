import { err, ok, type Result } from '../../base/index.js';
import { isPlainText } from '../../protocol/index.js';
import type { PolicyJson } from './engine.js';

export const REQUIREMENTS = ['exact_call', 'reauthentication', 'approval'] as const;
export type Requirement = (typeof REQUIREMENTS)[number];

/** What would lift a forbid: a `@requires` with all that belongs to it. */
export type Demand = Readonly<{
  policy: string;
  requires: Requirement;
  approvers: readonly string[];
  reason: string | undefined;
  acrValues: readonly string[];
  maxAge: number | undefined;
}>;

export type Annotated = Readonly<{ id: string; reason: string | undefined; demand: Demand | undefined }>;

const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const KNOWN = new Set(['id', 'reason', 'requires', 'approvers', 'acr_values', 'max_age']);
const MAX_REASON = 300;

/** Reads a policy's annotations. An unknown one is refused: it may be a misspelt one that someone relies on. */
export function readAnnotations({ effect, annotations = {} }: PolicyJson): Result<Annotated, string> {
  const unknown = Object.keys(annotations).find((name) => !KNOWN.has(name));
  if (unknown !== undefined) return err(`has an unknown annotation @${unknown}`);
  const { id, reason, requires } = annotations;
  if (id === undefined) return err('has no @id');
  if (!ID.test(id)) return err('has an @id that is not 1 to 64 letters, digits, dots, hyphens and underscores');
  if (reason !== undefined && (reason.trim() === '' || reason.length > MAX_REASON || !isPlainText(reason)))
    return err(`has a @reason that is not a sentence of at most ${String(MAX_REASON)} characters`);
  if (requires !== undefined && effect !== 'forbid') return err('has @requires on a permit; it lifts forbids only');
  const demand = readDemand(annotations, id);
  return demand.ok ? ok({ id, reason, demand: demand.value }) : demand;
}

function readDemand(annotations: Readonly<Record<string, string>>, id: string): Result<Demand | undefined, string> {
  const { approvers, acr_values, max_age, reason } = annotations;
  const requires = REQUIREMENTS.find((known) => known === annotations['requires']);
  if (annotations['requires'] !== undefined && requires === undefined)
    return err(`has @requires of something else than ${REQUIREMENTS.map((known) => `"${known}"`).join(', ')}`);
  if (approvers !== undefined && requires !== 'approval') return err('has @approvers without @requires("approval")');
  if ((acr_values ?? max_age) !== undefined && requires !== 'reauthentication')
    return err('has @acr_values or @max_age without @requires("reauthentication")');
  if (requires === 'reauthentication' && acr_values === undefined && max_age === undefined)
    return err('has @requires("reauthentication") without @acr_values or @max_age, so nothing would satisfy it');
  const groups = list(approvers, ',');
  const classes = list(acr_values, ' ');
  if (groups === undefined) return err('has @approvers that is not a list of names with commas between');
  if (classes === undefined) return err('has @acr_values that is not a list of values with spaces between');
  if (max_age !== undefined && !/^(0|[1-9]\d{0,7})$/.test(max_age)) return err('has @max_age that is not in seconds');
  const maxAge = max_age === undefined ? undefined : Number(max_age);
  return ok(requires && { policy: id, requires, approvers: groups, reason, acrValues: classes, maxAge });
}

function list(text: string | undefined, separator: string): readonly string[] | undefined {
  if (text === undefined) return [];
  const names = text.split(separator).map((name) => name.trim());
  return names.every((name) => name !== '' && isPlainText(name)) ? [...new Set(names)] : undefined;
}
