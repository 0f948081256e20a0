/** Faults of scripts/mutation-sql.mjs that change nothing that can be seen, by a part of their name, each with the reason. */
export const equivalent = {
  ' id = 1 -> true': 'the table has one row',
};
