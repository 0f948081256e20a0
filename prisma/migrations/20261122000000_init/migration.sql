-- CreateTable
CREATE TABLE "registry_state" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "version" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "registry_state_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "agent" (
    "client_id" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "document" JSONB NOT NULL,
    "secret_hash" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "agent_pkey" PRIMARY KEY ("client_id")
);

-- CreateTable
CREATE TABLE "mcp_server" (
    "resource" TEXT NOT NULL,
    "client_id" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "document" JSONB NOT NULL,
    "secret_hash" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "mcp_server_pkey" PRIMARY KEY ("resource")
);

-- CreateTable
CREATE TABLE "trusted_issuer" (
    "issuer" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "document" JSONB NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "trusted_issuer_pkey" PRIMARY KEY ("issuer")
);

-- CreateTable
CREATE TABLE "person" (
    "id" TEXT NOT NULL,
    "issuer" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'active',
    "attributes" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "person_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "signing_key" (
    "kid" TEXT NOT NULL,
    "alg" TEXT NOT NULL,
    "public_jwk" JSONB NOT NULL,
    "sealed" BYTEA NOT NULL,
    "state" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "signing_key_pkey" PRIMARY KEY ("kid")
);

-- CreateTable
CREATE TABLE "agent_session" (
    "id" TEXT NOT NULL,
    "run_key" TEXT NOT NULL,
    "person_id" TEXT NOT NULL,
    "agent_id" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "last_sequence" INTEGER NOT NULL,
    "opened_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_used_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,
    "ended_at" TIMESTAMPTZ(3),
    "ended_by" TEXT,

    CONSTRAINT "agent_session_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "replay" (
    "key" TEXT NOT NULL,
    "spender" TEXT NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "replay_pkey" PRIMARY KEY ("key")
);

-- CreateTable
CREATE TABLE "token_use" (
    "key" TEXT NOT NULL,
    "used" INTEGER NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "token_use_pkey" PRIMARY KEY ("key")
);

-- CreateTable
CREATE TABLE "revocation" (
    "target" TEXT NOT NULL,
    "number" BIGINT NOT NULL,
    "reason" TEXT NOT NULL,
    "revoked_by" TEXT NOT NULL,
    "revoked_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "revocation_pkey" PRIMARY KEY ("target")
);

-- CreateTable
CREATE TABLE "log_leaf" (
    "id" BIGSERIAL NOT NULL,
    "leaf" BYTEA NOT NULL,
    "leaf_hash" BYTEA NOT NULL,
    "kind" TEXT NOT NULL,
    "session_id" TEXT,
    "sequence" INTEGER,
    "txn" TEXT,
    "token_hash" TEXT,
    "lineage" TEXT[],
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "log_leaf_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "engine_record" (
    "key" TEXT NOT NULL,
    "model" TEXT NOT NULL,
    "payload" JSONB NOT NULL,
    "grant_id" TEXT,
    "uid" TEXT,
    "expires_at" TIMESTAMPTZ(3),
    "consumed_at" TIMESTAMPTZ(3),

    CONSTRAINT "engine_record_pkey" PRIMARY KEY ("key")
);

-- CreateIndex
CREATE UNIQUE INDEX "mcp_server_client_id_key" ON "mcp_server"("client_id");

-- CreateIndex
CREATE UNIQUE INDEX "person_issuer_subject_key" ON "person"("issuer", "subject");

-- CreateIndex
CREATE UNIQUE INDEX "agent_session_run_key_key" ON "agent_session"("run_key");

-- CreateIndex
CREATE INDEX "agent_session_person_id_idx" ON "agent_session"("person_id");

-- CreateIndex
CREATE INDEX "agent_session_agent_id_idx" ON "agent_session"("agent_id");

-- CreateIndex
CREATE INDEX "replay_expires_at_idx" ON "replay"("expires_at");

-- CreateIndex
CREATE INDEX "token_use_expires_at_idx" ON "token_use"("expires_at");

-- CreateIndex
CREATE UNIQUE INDEX "revocation_number_key" ON "revocation"("number");

-- CreateIndex
CREATE UNIQUE INDEX "log_leaf_token_hash_key" ON "log_leaf"("token_hash");

-- CreateIndex
CREATE INDEX "log_leaf_txn_idx" ON "log_leaf"("txn");

-- CreateIndex
CREATE INDEX "log_leaf_at_idx" ON "log_leaf"("at");

-- CreateIndex
CREATE UNIQUE INDEX "log_leaf_session_id_sequence_key" ON "log_leaf"("session_id", "sequence");

-- CreateIndex
CREATE INDEX "engine_record_grant_id_idx" ON "engine_record"("grant_id");

-- CreateIndex
CREATE INDEX "engine_record_uid_idx" ON "engine_record"("uid");

-- CreateIndex
CREATE INDEX "engine_record_expires_at_idx" ON "engine_record"("expires_at");

-- The one row that counts changes of the registry
INSERT INTO "registry_state" ("id", "version") VALUES (1, 0);
