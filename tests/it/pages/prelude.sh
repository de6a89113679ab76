# What the script of a page begins with: how to wait, and what a `given` can say. $OUT has what each block prints.

PATIENCE=60

# block LINE KIND: from here on it is this block that prints.
block() {
    echo "$1" >"$OUT/at"
    exec >>"$OUT/$1" 2>&1
}

fail() {
    echo "page: $*"
    exit 99
}

failed() {
    cat "$1"
    fail "failed with $2"
}

ended() { [ "$1" = "$2" ] || fail "ended with $2, not with $1"; }

# says FILE PID WORDS: waits until a server has said this.
says() {
    timeout "$PATIENCE" tail -n +1 -s 0.1 -F --pid="$2" "$1" 2>/dev/null | grep -q -m1 -e "$3" || {
        cat "$1"
        fail "it never said \"$3\""
    }
}

listens() { says "$1" "$2" listening; }
still_runs() { kill -0 "$1" || fail "a server has ended by itself"; }
has_ended() { timeout "$PATIENCE" tail -s 0.1 --pid="$1" -f /dev/null || fail "$1 does not end"; }

interrupt() {
    kill -INT "$1"
    wait "$1" || fail "it ended with $? when it was interrupted"
}

# nginx forgets to wait for its own end.
nginx() {
    case $* in
    "-s quit" | "-s stop")
        nginx_pid=$(cat /run/nginx.pid)
        command nginx "$@"
        has_ended "$nginx_pid"
        ;;
    *) command nginx "$@" ;;
    esac
}

# dockerd and its bridge, as on any machine. Docker Hub is a registry of this machine that has `hello-world`.
docker_daemon() {
    if [ -e "$OUT/dockerd" ]; then return; fi
    mkdir -p /etc/docker /var/lib/hub
    hub=127.0.0.1:4999
    printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/hub}}\nhttp: {addr: "%s"}\n' "$hub" >/var/lib/hub.yml
    docker-registry serve /var/lib/hub.yml >"$OUT/hub" 2>&1 &
    listens "$OUT/hub" "$!"
    skopeo copy -q --dest-tls-verify=false "oci:$OUT/hello:image" "docker://$hub/library/hello-world"
    printf '{"registry-mirrors": ["http://%s"]}' "$hub" >/etc/docker/daemon.json
    dockerd --storage-driver=vfs >"$OUT/dockerd" 2>&1 &
    says "$OUT/dockerd" "$!" 'API listen on /'
}

# What a `given` may say.

# names NAME..: more names of this machine.
names() { for name; do echo "10.99.0.1 $name" >>/etc/hosts; done; }

# machine NAME..: other machines, or containers, with an address of their own.
machine() {
    for name; do
        machines=$((${machines:-1} + 1))
        ip address add "10.99.0.$machines/32" dev lo
        echo "10.99.0.$machines $name" >>/etc/hosts
    done
}

# certificate CERTIFICATE KEY NAME: as an authority gives them out that every client knows.
certificate() {
    mkdir -p "$(dirname "$1")" "$(dirname "$2")"
    if [ ! -e $HOME/authority.key ]; then
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=an authority" \
            -keyout $HOME/authority.key -out $HOME/authority.crt
        cat $HOME/authority.crt >>/etc/ssl/certs/ca-certificates.crt
    fi
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$3" -keyout "$2" -out $HOME/request
    printf 'subjectAltName=DNS:%s\n' "$3" >$HOME/extensions
    openssl x509 -req -in $HOME/request -CA $HOME/authority.crt -CAkey $HOME/authority.key -CAcreateserial -days 2 \
        -extfile $HOME/extensions -out "$1"
}

# password FILE NAME PASSWORD: as Apache's tool writes it.
password() {
    mkdir -p "$(dirname "$1")"
    touch "$1"
    htpasswd -B -b "$1" "$2" "$3"
}

# registry ADDRESS: registry:2, as Debian has it, with its images in /var/lib/registry.
registry() {
    printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: "%s"}\n' "$1" \
        >$HOME/registry.yml
    docker-registry serve $HOME/registry.yml >"$OUT/registry-$1" 2>&1 &
    registries="${registries:-} $!"
    listens "$OUT/registry-$1" "$!"
}

# registries_gone: what the part of the page before had is not there any more.
registries_gone() {
    for registry in $registries; do
        kill -TERM "$registry"
        wait "$registry" || true
    done
    registries=
}

# image_of_registry: `registry:2` for docker, out of Debian's program.
image_of_registry() {
    docker_daemon
    mkdir -p $HOME/image/bin $HOME/image/etc/docker/registry $HOME/image/var/lib/registry $HOME/image/tmp
    cp "$(command -v docker-registry)" $HOME/image/bin/registry
    for library in $(ldd $HOME/image/bin/registry | grep -o '/[^ ]*'); do
        mkdir -p "$HOME/image$(dirname "$library")"
        cp -L "$library" "$HOME/image$library"
    done
    printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: ":5000"}\n' \
        >$HOME/image/etc/docker/registry/config.yml
    tar -C $HOME/image -c . | docker import --change 'ENTRYPOINT ["/bin/registry"]' \
        --change 'CMD ["serve", "/etc/docker/registry/config.yml"]' --change 'VOLUME /var/lib/registry' - registry:2
}

# nginx_with N [SERVER [HTTP]]: nginx runs with the page's Nth block of it. A block of locations stands in a server with
# these directives, and with these around it.
nginx_with() {
    rm -f /etc/nginx/sites-enabled/* /etc/nginx/conf.d/*.conf
    mkdir -p /etc/nginx/conf.d
    if grep -q '^server' "$OUT/nginx-$1"; then
        cat "$OUT/nginx-$1"
    else
        printf '%s\nserver {\n%s\n' "${3:-}" "${2:-}"
        cat "$OUT/nginx-$1"
        echo '}'
    fi >/etc/nginx/conf.d/registry.conf
    nginx
}

block 0 prelude
cd "$PAGE"
