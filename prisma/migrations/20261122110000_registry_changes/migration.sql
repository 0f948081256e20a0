-- What each version of the registry changed, so that a process reads that and not the whole registry anew
-- CreateTable
CREATE TABLE "registry_change" (
    "version" BIGINT NOT NULL,
    "agents" TEXT[],
    "servers" TEXT[],
    "issuers" TEXT[],

    CONSTRAINT "registry_change_pkey" PRIMARY KEY ("version")
);
