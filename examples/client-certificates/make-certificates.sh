#!/bin/sh
# The server certificate, the CA of the clients and one client certificate:
#
#     make-certificates.sh HOST [DIRECTORY] [CLIENT-NAME]
#
# DIRECTORY is /opt/registry when it is not said. What is there already is kept, so that a second call with another
# CLIENT-NAME makes one more client. BITS=4096 makes RSA keys that are faster to make and to use.
set -eu

host=${1:?usage: make-certificates.sh HOST [DIRECTORY] [CLIENT-NAME]}
directory=${2:-/opt/registry}
client=${3:-client}
bits=${BITS:-8192}

umask 077
mkdir -p "$directory/certs"
cd "$directory"

# The server. Clients look for the host in subjectAltName and nowhere else.
[ -e certs/server.key ] || openssl req -nodes -newkey "rsa:$bits" -days 365 -x509 \
    -keyout certs/server.key -out certs/server.cert \
    -batch -subj "/commonName=$host" -addext "subjectAltName=DNS:$host"

# The CA that signs the clients. Its key does not belong on the server.
[ -e client-ca.key ] || openssl req -nodes -newkey "rsa:$bits" -days 365 -x509 \
    -keyout client-ca.key -out certs/client-ca.cert \
    -batch -subj "/commonName=docker-registry-client-ca"

# One client: version 1, since no extensions are asked for, and its name is the common name.
openssl genrsa -out "$client.key" 4096
openssl req -new -key "$client.key" -subj "/commonName=$client" -out "$client.csr"
openssl x509 -req -days 365 -in "$client.csr" -out "$client.cert" \
    -CA certs/client-ca.cert -CAkey client-ca.key -set_serial "0x$(openssl rand -hex 8)"
rm "$client.csr"
