/** How a person is named in the registry: by our id, or as an issuer knows them (an issuer has no fragment). */
export type PersonName =
  Readonly<{ by: 'id'; id: string }> | Readonly<{ by: 'subject'; issuer: string; subject: string }>;

/** The people who answer for agents. */
export type AccountablePeople = Readonly<{
  /** The status of each of these ids that there is. */
  statuses: (ids: readonly string[]) => Promise<ReadonlyMap<string, 'active' | 'disabled'>>;
  find: (issuer: string, subject: string) => Promise<Readonly<{ id: string }> | undefined>;
  /** Whether anybody of this issuer was ever here. */
  knows: (issuer: string) => Promise<boolean>;
  /** Finds the person of this pair, or makes it before they were ever here. */
  meet: (issuer: string, subject: string) => Promise<string>;
  /** Recorded; disabling also cuts off, with a number, what there is of them: tokens, sign-ins and consents. */
  setStatus: (id: string, status: 'active' | 'disabled', by: string) => Promise<'done' | 'unchanged' | 'unknown'>;
}>;

/** What a text names, or `undefined` when it names no person: a team, a mailbox, a word. */
export function personNameOf(text: string): PersonName | undefined {
  if (/^prs_[\w-]{22}$/.test(text)) return { by: 'id', id: text };
  const at = text.indexOf('#');
  const [issuer, subject] = [text.slice(0, at), text.slice(at + 1)];
  if (at < 1 || subject === '' || subject.length > 512 || !URL.canParse(issuer)) return undefined;
  return /^https?:$/.test(new URL(issuer).protocol) ? { by: 'subject', issuer, subject } : undefined;
}

/** The id, where a text is one. */
export function personIdIn(text: string | undefined): string | undefined {
  const name = text === undefined ? undefined : personNameOf(text);
  return name?.by === 'id' ? name.id : undefined;
}
