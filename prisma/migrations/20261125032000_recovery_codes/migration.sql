-- Codes by which people of local accounts make a new passkey, once each.
CREATE TABLE "recovery_code" (
    "code_hash" TEXT NOT NULL,
    "person_id" TEXT NOT NULL,
    "made_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "recovery_code_pkey" PRIMARY KEY ("code_hash")
);

CREATE INDEX "recovery_code_person_id_idx" ON "recovery_code"("person_id");

ALTER TABLE "recovery_code" ADD CONSTRAINT "recovery_code_person_id_fkey" FOREIGN KEY ("person_id") REFERENCES "person"("id") ON DELETE CASCADE ON UPDATE CASCADE;
