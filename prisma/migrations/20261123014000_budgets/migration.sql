-- CreateTable
CREATE TABLE "budget_account" (
    "key" TEXT NOT NULL,
    "session_id" TEXT,
    "unit" TEXT NOT NULL,
    "scope" TEXT NOT NULL,
    "currency" TEXT,
    "ceiling" DECIMAL(30,6) NOT NULL,
    "used" DECIMAL(30,6) NOT NULL DEFAULT 0,
    "members" TEXT[],
    "ends_at" TIMESTAMPTZ(3),

    CONSTRAINT "budget_account_pkey" PRIMARY KEY ("key")
);

-- CreateTable
CREATE TABLE "budget_hold" (
    "token_hash" TEXT NOT NULL,
    "tool" TEXT NOT NULL,
    "account" TEXT NOT NULL,
    "session_id" TEXT NOT NULL,
    "use_key" TEXT NOT NULL,
    "server" TEXT NOT NULL,
    "told_by" TEXT,
    "per_use" DECIMAL(30,6) NOT NULL,
    "uses" INTEGER NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "budget_hold_pkey" PRIMARY KEY ("token_hash", "tool", "account")
);

-- CreateIndex
CREATE INDEX "budget_account_session_id_idx" ON "budget_account"("session_id");

-- CreateIndex
CREATE INDEX "budget_account_ends_at_idx" ON "budget_account"("ends_at");

-- CreateIndex
CREATE INDEX "budget_hold_expires_at_idx" ON "budget_hold"("expires_at");

-- CreateIndex
CREATE INDEX "budget_hold_use_key_idx" ON "budget_hold"("use_key");

-- CreateIndex
CREATE INDEX "budget_hold_account_idx" ON "budget_hold"("account");

-- INVARIANT: no account returns more than was debited from it
ALTER TABLE "budget_account" ADD CONSTRAINT "budget_account_used_check" CHECK ("used" >= 0);

-- Debits each exchange of a commit in turn, all of its accounts or none, and says of those that do not fit which account it
-- was. A function, since every statement in it sees what others committed while it waited for their locks, and the
-- statement around it does not. The accounts are locked in the order of their keys: two replicas wait for each other and not
-- in a circle.
CREATE FUNCTION "budget_debit"("wanted" JSONB) RETURNS TABLE ("exchange" BIGINT, "breach" JSONB) LANGUAGE plpgsql STRICT AS $$
DECLARE
  keys TEXT[];
  found INT;
BEGIN
  SELECT array_agg(DISTINCT w.account ORDER BY w.account) INTO keys FROM jsonb_to_recordset(wanted) AS w(account TEXT);
  INSERT INTO budget_account AS a (key, session_id, unit, scope, currency, ceiling, members, ends_at)
    SELECT DISTINCT ON (w.account) w.account, w.session, w.unit, w.scope, w.currency, w.ceiling, ARRAY[]::text[], to_timestamp(w.ends_at)
    FROM jsonb_to_recordset(wanted) AS w(account TEXT, session TEXT, unit TEXT, scope TEXT, currency TEXT, ceiling NUMERIC, ends_at BIGINT)
    ORDER BY w.account
    ON CONFLICT (key) DO NOTHING;
  PERFORM 1 FROM budget_account a WHERE a.key = ANY(keys) ORDER BY a.key FOR UPDATE;
  GET DIAGNOSTICS found = ROW_COUNT;
  IF found <> cardinality(keys) THEN
    RAISE EXCEPTION 'an account ended meanwhile' USING ERRCODE = 'serialization_failure';
  END IF;
  FOR exchange IN SELECT DISTINCT w.n FROM jsonb_to_recordset(wanted) AS w(n BIGINT) ORDER BY 1 LOOP
    breach := NULL;
    SELECT w.one || jsonb_build_object('used', trim_scale(a.used)::text) INTO breach
      FROM jsonb_array_elements(wanted) AS w(one) JOIN budget_account a ON a.key = w.one ->> 'account'
      WHERE (w.one ->> 'n')::bigint = exchange AND (w.one ->> 'ceiling')::numeric < CASE
        WHEN jsonb_array_length(w.one -> 'members') = 0 THEN a.used + (w.one ->> 'amount')::numeric
        ELSE cardinality(ARRAY(SELECT unnest(a.members) UNION SELECT jsonb_array_elements_text(w.one -> 'members'))) END
      ORDER BY (w.one ->> 'place')::int LIMIT 1;
    IF breach IS NULL THEN
      UPDATE budget_account a SET ceiling = d.ceiling,
        members = CASE WHEN jsonb_array_length(d.members) = 0 THEN a.members
          ELSE ARRAY(SELECT unnest(a.members) UNION SELECT jsonb_array_elements_text(d.members)) END,
        used = CASE WHEN jsonb_array_length(d.members) = 0 THEN a.used + d.amount
          ELSE cardinality(ARRAY(SELECT unnest(a.members) UNION SELECT jsonb_array_elements_text(d.members))) END
      FROM jsonb_to_recordset(wanted) AS d(n BIGINT, account TEXT, ceiling NUMERIC, amount NUMERIC, members JSONB)
      WHERE d.n = exchange AND a.key = d.account;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
