-- Where people are told that something waits for them, and what is to be told.
CREATE TABLE "notice_channel" (
    "id" TEXT NOT NULL,
    "person_id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "label" TEXT NOT NULL,
    "address_hash" TEXT NOT NULL,
    "sealed" BYTEA NOT NULL,
    "failures" INTEGER NOT NULL DEFAULT 0,
    "made_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "notice_channel_pkey" PRIMARY KEY ("id")
);

CREATE TABLE "notice" (
    "approval_id" TEXT NOT NULL,
    "channel_id" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "due_at" TIMESTAMPTZ(3) NOT NULL,
    "leased_until" TIMESTAMPTZ(3),
    "sent_at" TIMESTAMPTZ(3),

    CONSTRAINT "notice_pkey" PRIMARY KEY ("approval_id","channel_id")
);

CREATE UNIQUE INDEX "notice_channel_person_id_address_hash_key" ON "notice_channel"("person_id", "address_hash");

CREATE INDEX "notice_channel_id_idx" ON "notice"("channel_id");

CREATE INDEX "notice_due_at_idx" ON "notice"("due_at");

ALTER TABLE "notice_channel" ADD CONSTRAINT "notice_channel_person_id_fkey" FOREIGN KEY ("person_id") REFERENCES "person"("id") ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "notice" ADD CONSTRAINT "notice_approval_id_fkey" FOREIGN KEY ("approval_id") REFERENCES "approval"("id") ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "notice" ADD CONSTRAINT "notice_channel_id_fkey" FOREIGN KEY ("channel_id") REFERENCES "notice_channel"("id") ON DELETE CASCADE ON UPDATE CASCADE;
