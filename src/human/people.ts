/** What an identity provider told us of a person. It describes, and never identifies. */
export type PersonAttributes = Readonly<{ name?: string; email?: string }>;

/** `id` is ours; issuer and subject are who vouches for them, and how they are called there. */
export type Person = Readonly<{
  id: string;
  issuer: string;
  subject: string;
  status: string;
  attributes: PersonAttributes;
}>;

/** People by who vouches for them: identity is the pair of issuer and subject, never an e-mail address. */
export interface PersonDirectory {
  /** Finds or makes the person, and keeps the newest attributes. */
  ensure(issuer: string, subject: string, attributes: PersonAttributes): Promise<Person>;
  byId(id: string): Promise<Person | undefined>;
}
