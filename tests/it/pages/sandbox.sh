# A machine for one page: sandbox.sh OUT DOCKGATE CHECKOUT FOLDER
#
# Runs in namespaces of its own (mounts, network, processes). The machine's whole file system is there, as the lower
# half of an overlay: what the page writes, anywhere, is gone afterwards. No network but loopback.
set -eu
out=$1 dockgate=$2 checkout=$3 folder=$4

mount --make-rprivate /
scratch=$out/scratch
mkdir "$scratch"
mount -t tmpfs tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/upper-checkout" "$scratch/work-checkout" "$scratch/root"
root=$scratch/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$root"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount -t proc proc "$root/proc"
# Empty, and where images are unpacked no overlay over an overlay.
for folder_of_run in /run /tmp /root /var/lib/docker /var/lib/containerd /var/lib/containers /var/lib/registry; do
    mkdir -p "$root$folder_of_run"
    mount -t tmpfs tmpfs "$root$folder_of_run"
done
mkdir -p "$root/run/lock" "$root/page" "$root/page-out"
mount -t overlay overlay \
    -o "lowerdir=$checkout,upperdir=$scratch/upper-checkout,workdir=$scratch/work-checkout" "$root/page"
mount --bind "$out" "$root/page-out"
install -D "$dockgate" "$root/usr/local/bin/dockgate"
# cargo has built what is tried here; building it again would take minutes.
install "$out/cargo" "$root/usr/local/bin/cargo"

ip link set lo up
ip address add 10.99.0.1/32 dev lo
printf '127.0.0.1 localhost\n10.99.0.1 registry.example.com\n' >"$root/etc/hosts"
: >"$root/etc/resolv.conf"

exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root \
    LANG=C.UTF-8 TERM=dumb OUT=/page-out PAGE="/page/$folder" sh -e /page-out/script </dev/null
