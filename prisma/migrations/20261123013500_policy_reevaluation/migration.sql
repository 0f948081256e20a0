-- CreateTable
CREATE TABLE "policy_reevaluation" (
    "version" BIGINT NOT NULL,
    "policy" TEXT NOT NULL,
    "begun_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "passes" INTEGER NOT NULL DEFAULT 0,
    "place" BIGINT NOT NULL DEFAULT 0,
    "ended" INTEGER NOT NULL DEFAULT 0,
    "undecided" INTEGER NOT NULL DEFAULT 0,
    "holder" TEXT,
    "held_until" TIMESTAMPTZ(3),
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "policy_reevaluation_pkey" PRIMARY KEY ("version")
);
