# Bring a database back from a dump: all of it or nothing, and the same when it is done again.
#
# From the environment, beside what connection.sh reads: FOLDER, BACKUP (its name, or `latest`), RESULT (a file for what
# came out).
if [ "$BACKUP" = latest ] && [ ! -f "$FOLDER/latest.dump" ]; then
    newest=$(ls -1t "$FOLDER" 2>/dev/null | sed -n 's/\.dump$//p' | head -1)
    BACKUP=${newest:-$BACKUP}
fi
file=$FOLDER/$BACKUP.dump
if [ ! -f "$file" ]; then
    echo "there is no backup $BACKUP; there are: $(ls -1t "$FOLDER" 2>/dev/null | sed -n 's/\.dump$//p' | head -20 | tr '\n' ' ')"
    exit 3
fi
printf '%s  %s\n' "$(cat "$FOLDER/$BACKUP.sha256")" "$file" | sha256sum --check --quiet - || {
    echo "the backup $BACKUP is damaged: its checksum is another one"
    exit 4
}

pg_restore --clean --if-exists --single-transaction --exit-on-error --no-owner --no-password \
    --dbname="$PGDATABASE" "$file"

tables=$(psql --no-password --no-psqlrc --tuples-only --no-align --command \
    "select count(*) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')")
printf '{"backup":"%s","tables":%s}\n' "$BACKUP" "$tables" | tee "$RESULT"
