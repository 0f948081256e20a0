-- CreateTable
CREATE TABLE "approval" (
    "id" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "person_id" TEXT NOT NULL,
    "client_id" TEXT NOT NULL,
    "jkt" TEXT,
    "server" TEXT NOT NULL,
    "tool" TEXT NOT NULL,
    "call" TEXT NOT NULL,
    "sha256" TEXT NOT NULL,
    "policy" TEXT NOT NULL,
    "code_hash" TEXT NOT NULL,
    "is_own" BOOLEAN NOT NULL,
    "groups" TEXT[],
    "about" JSONB NOT NULL,
    "answers" JSONB NOT NULL DEFAULT '[]',
    "members" JSONB NOT NULL DEFAULT '{}',
    "sealed" BYTEA,
    "asked_at" TIMESTAMPTZ(3) NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "ended_at" TIMESTAMPTZ(3),
    "polled_at" TIMESTAMPTZ(3),
    "pause" INTEGER NOT NULL,

    CONSTRAINT "approval_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "approval_token" (
    "request_id" TEXT NOT NULL,
    "approval_id" TEXT NOT NULL,
    "sealed" BYTEA NOT NULL,
    "made_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "approval_token_pkey" PRIMARY KEY ("request_id")
);

-- CreateIndex
CREATE UNIQUE INDEX "approval_code_hash_key" ON "approval"("code_hash");

-- CreateIndex
CREATE INDEX "approval_person_id_state_idx" ON "approval"("person_id", "state");

-- CreateIndex
CREATE INDEX "approval_groups_idx" ON "approval" USING GIN ("groups");

-- CreateIndex
CREATE INDEX "approval_state_expires_at_idx" ON "approval"("state", "expires_at");

-- CreateIndex
CREATE INDEX "approval_ended_at_idx" ON "approval"("ended_at");

-- CreateIndex
CREATE INDEX "approval_token_approval_id_idx" ON "approval_token"("approval_id");

-- CreateIndex
CREATE INDEX "approval_token_made_at_idx" ON "approval_token"("made_at");

-- AddForeignKey
ALTER TABLE "approval" ADD CONSTRAINT "approval_person_id_fkey" FOREIGN KEY ("person_id") REFERENCES "person"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "approval_token" ADD CONSTRAINT "approval_token_approval_id_fkey" FOREIGN KEY ("approval_id") REFERENCES "approval"("id") ON DELETE CASCADE ON UPDATE CASCADE;
