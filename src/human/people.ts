/** What an identity provider told us of a person. It describes, and never identifies. */
export type PersonAttributes = Readonly<{ name?: string; email?: string }>;

/** `id` is ours; issuer and subject are who vouches for them, and how they are called there. */
export type Person = Readonly<{
  id: string;
  issuer: string;
  subject: string;
  status: string;
  attributes: PersonAttributes;
  /** As whose member they may approve for others: as their provider said when they last signed in, or an administrator. */
  groups: readonly string[];
}>;

/** People by who vouches for them: identity is the pair of issuer and subject, never an e-mail address. */
export interface PersonDirectory {
  /** Finds or makes the person, and keeps the newest attributes; groups too, where there are any to be known. */
  ensure(
    issuer: string,
    subject: string,
    attributes: PersonAttributes,
    groups: readonly string[] | undefined,
  ): Promise<Person>;
  byId(id: string): Promise<Person | undefined>;
}
