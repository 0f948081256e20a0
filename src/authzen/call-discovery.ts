import { z } from 'zod';
import { isSecureUrl, parseObject } from '../protocol/index.js';

/** Where one decision point is asked. */
export type Endpoints = Readonly<{ evaluation: string; evaluations: string | undefined }>;

const Metadata = z.object({
  policy_decision_point: z.string(),
  access_evaluation_endpoint: z.string().max(1_024),
  access_evaluations_endpoint: z.string().max(1_024).optional(),
});

/**
 * AuthZEN 1.0 metadata: `policy_decision_point` must equal the identifier that it was asked by. Endpoints elsewhere than at
 * its origin are not believed: our credential and people's arguments go there.
 */
export function readMetadata(text: string, identifier: string): Endpoints | undefined {
  const parsed = parseObject(text);
  const read = Metadata.safeParse(parsed.ok ? parsed.value : undefined);
  if (!read.success || read.data.policy_decision_point !== identifier) return undefined;
  const { access_evaluation_endpoint: evaluation, access_evaluations_endpoint: evaluations } = read.data;
  const { origin } = new URL(identifier);
  const isThere = (url: string): boolean => isSecureUrl(url) && new URL(url).origin === origin;
  return isThere(evaluation) && (evaluations === undefined || isThere(evaluations))
    ? { evaluation, evaluations }
    : undefined;
}
