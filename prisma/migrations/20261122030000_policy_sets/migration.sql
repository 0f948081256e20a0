-- CreateTable
CREATE TABLE "policy_set" (
    "hash" TEXT NOT NULL,
    "files" JSONB NOT NULL,
    "staged_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "staged_by" TEXT NOT NULL,
    "activated_at" TIMESTAMPTZ(3),
    "activated_by" TEXT,
    "replaced" TEXT,

    CONSTRAINT "policy_set_pkey" PRIMARY KEY ("hash")
);

-- AlterTable
ALTER TABLE "registry_state" ADD COLUMN     "policy" TEXT;

-- AddForeignKey
ALTER TABLE "registry_state" ADD CONSTRAINT "registry_state_policy_fkey" FOREIGN KEY ("policy") REFERENCES "policy_set"("hash") ON DELETE RESTRICT ON UPDATE CASCADE;
