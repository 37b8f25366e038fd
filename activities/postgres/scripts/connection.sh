# What both scripts begin with: how Postgres' tools reach the server, with the password in a file.
#
# From the environment: PGHOST PGPORT PGDATABASE, SECRETS (a folder with the files `username` and `password`).
set -eu
umask 077

PGUSER=$(cat "$SECRETS/username")
PGPASSFILE=$(mktemp)
export PGUSER PGPASSFILE
trap 'rm -f "$PGPASSFILE"' EXIT
# In a password file a colon and a backslash are written with a backslash.
printf '*:*:*:*:%s\n' "$(sed -e 's/[\\:]/\\&/g' "$SECRETS/password")" >"$PGPASSFILE"

