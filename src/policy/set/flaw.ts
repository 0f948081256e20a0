/** Why a policy set is refused, and where. Lines and columns count from one. */
export type PolicyFlaw = Readonly<{
  path: string;
  line: number;
  column: number;
  policy: string | undefined;
  problem: string;
}>;

/** A file of policies, as an author wrote it. */
export type PolicyFile = Readonly<{ path: string; text: string }>;

/** One policy of a file, comments within it included. */
export type PolicyText = Readonly<{ file: PolicyFile; start: number; text: string }>;

/** A flaw at a UTF-8 offset of a policy, as the engine counts; without one, where the policy starts. */
export function flawAt({ file, start, text }: PolicyText, problem: string, at: FlawPlace = {}): PolicyFlaw {
  const inside = Buffer.from(text)
    .subarray(0, at.offset ?? 0)
    .toString().length;
  const before = file.text.slice(0, start + inside).split('\n');
  return {
    path: file.path,
    line: before.length,
    column: Array.from(before.at(-1) ?? '').length + 1,
    policy: at.policy,
    problem,
  };
}

type FlawPlace = Readonly<{ offset?: number | undefined; policy?: string | undefined }>;
