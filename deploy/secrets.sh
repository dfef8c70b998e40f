#!/bin/sh
# Makes the secrets of `docker compose --profile scale`, each at random, in the folder secrets/ (or the one named).
#
#   sh deploy/secrets.sh [FOLDER]
#
# Nobody but you can enter the folder; the files in it can be read by the users that the containers run as. What is
# there already is left alone: a database keeps the password that it was made with.
set -eu

folder=${1:-secrets}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# keep NAME: its content from stdin, unless the file is there
keep() {
    if [ -e "$folder/$1" ]; then
        cat >/dev/null
        echo "$folder/$1 is there already" >&2
    else
        cat >"$folder/$1"
    fi
}

secret | keep postgres_password
secret | keep minio_password
secret | keep grafana_password
secret | keep milvus_password
printf 'postgresql://answerable:%s@postgres/answerable' "$(cat "$folder/postgres_password")" | keep answerable_database_url
printf 'http://root:%s@milvus:19530' "$(cat "$folder/milvus_password")" | keep answerable_index_url
keep milvus_settings <<SETTINGS
common:
  security:
    authorizationEnabled: true
    defaultRootPassword: "$(cat "$folder/milvus_password")"
minio:
  accessKeyID: answerable
  secretAccessKey: "$(cat "$folder/minio_password")"
SETTINGS
# Filled in once there are keys: answerable keys create prometheus --role read
: | keep answerable_metrics_key
