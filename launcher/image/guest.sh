# SPDX-License-Identifier: Apache-2.0
# What image/build-image and the tests' guests share, to be sourced: Debian's cloud kernel, unpacked in $cache/kernel,
# and programs of this machine in a guest's root. Who sources it has set $cache, defines say() and die(), and has
# /usr/sbin in PATH.

# What a guest with containers needs of the kernel, by name or by the kernel itself.
container_modules="bridge veth br_netfilter ip_tables iptable_nat iptable_filter iptable_mangle nf_conntrack nf_nat
	xt_nat xt_tcpudp xt_addrtype xt_comment xt_multiport xt_mark xt_MASQUERADE xt_conntrack"

# Programs of this machine that go into the guest.
busybox=/bin/busybox
iptables=/usr/sbin/xtables-legacy-multi
xtables=$(dirname "$(find /usr/lib -name libxt_comment.so 2> /dev/null | head -n 1)")
cni_dir=/usr/lib/cni
cni_plugins="bridge portmap host-local loopback"

# apt-get and apt-cache, on this machine's package lists, or on lists of our own once refresh_lists() made some.
apt_options=(-q -o "APT::Sandbox::User=")
apt_get() { apt-get "${apt_options[@]}" "$@"; }

# Reads the lists of this machine's sources into a private place, where the machine's own are missing or too old to
# download from. Changes nothing of the machine's, and needs no root.
refresh_lists() {
	local state=$cache/apt
	[ ! -d "$state" ] || return 1
	say "reading package lists"
	mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
	apt_options+=(-o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache")
	apt_get update > "$state/log" 2>&1 || { cat "$state/log" >&2; return 1; }
}

# linux-image-cloud-amd64 is an empty package that depends on the kernel of the day.
find_kernel_package() {
	local unpacked
	unpacked=$(cat "$cache/kernel/package" 2> /dev/null || true)
	if [ -n "$unpacked" ]; then
		echo "$unpacked"
		return
	fi
	apt-cache "${apt_options[@]}" depends linux-image-cloud-amd64 2> /dev/null |
		awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'
}

# Downloads and unpacks the kernel package; nothing is installed on this machine.
fetch_kernel() {
	local new=$cache/kernel.new
	[ ! -f "$cache/kernel/package" ] || return 0
	say "fetching Debian's package $package (about 27 MB; it is unpacked, not installed)"
	rm -rf "$new" "$cache/kernel"
	mkdir -p "$new"
	if ! (cd "$new" && apt_get download "$package" > apt.log 2>&1); then
		cat "$new/apt.log" >&2
		return 1
	fi
	dpkg-deb -x "$new"/linux-image-*.deb "$new/root"
	rm "$new"/linux-image-*.deb
	echo "$package" > "$new/package"
	mv "$new" "$cache/kernel"
}

# Has the kernel's package unpacked, and sets package and version.
get_kernel() {
	mkdir -p "$cache"
	exec 8> "$cache/kernel.lock"
	flock 8
	rm -rf "$cache/apt"
	package=$(find_kernel_package)
	if [ -z "$package" ] || ! fetch_kernel; then
		refresh_lists || die "the package lists could not be read"
		package=$(find_kernel_package)
		[ -n "$package" ] || die "this machine's package sources have no linux-image-cloud-amd64"
		fetch_kernel || die "could not download $package"
		rm -rf "$cache/apt"
	fi
	version=$(ls "$cache/kernel/root/lib/modules")
	[ -f "$cache/kernel/root/lib/modules/$version/modules.dep" ] || depmod -b "$cache/kernel/root" "$version"
	exec 8>&-
}

# Copies the libraries that a program needs, to the same places as here; a static one needs none.
copy_libraries() {
	local program=$1 to=$2 library
	{ ldd "$program" 2> /dev/null || true; } | grep -o '/[^ ]*' | while read -r library; do
		[ -e "$to/$library" ] || install -D "$(readlink -f "$library")" "$to/$library"
	done || true
}

# copy_program FILE ROOT [DIRECTORY]
copy_program() {
	install -D "$1" "$2/${3:-$(dirname "$1")}/$(basename "$1")"
	copy_libraries "$1" "$2"
}

# copy_modules ROOT NAMES: modules of the kernel, and those that they depend on.
copy_modules() {
	local to=$1 wanted=$2 from=$cache/kernel/root/lib/modules/$version module
	for module in $wanted; do
		awk -v file="/$module.ko:" 'index($1, file) { sub(":", ""); gsub(" ", "\n"); print }' \
			"$from/modules.dep"
	done | sort -u | while read -r file; do
		install -D -m 644 "$from/$file" "$to/lib/modules/$version/$file"
	done
	for module in $wanted; do
		find "$to/lib/modules" -name "$module.ko" | grep -q . || die "$package has no module $module"
	done
	cp "$from"/modules.{builtin*,order} "$to/lib/modules/$version/"
	depmod -b "$to" "$version"
}

# put_busybox ROOT: busybox under all its names, and the directories that everything needs.
put_busybox() {
	local to=$1 applet
	mkdir -p "$to"/{bin,sbin,dev,proc,sys,run,tmp}
	cp "$busybox" "$to/bin/busybox"
	for applet in $("$busybox" --list); do
		[ "$applet" = busybox ] || ln -s busybox "$to/bin/$applet"
	done
	ln -s /bin/busybox "$to/sbin/modprobe"
	ln -s /bin/busybox "$to/sbin/hwclock"
}

# put_container_tools ROOT: iptables, and the CNI plugins where container engines look for them.
put_container_tools() {
	local to=$1 name
	mkdir -p "$to"/{etc/cni,opt/cni/bin,var/lib/cni,usr/sbin,"$xtables"}
	copy_program "$iptables" "$to"
	for name in iptables iptables-save iptables-restore; do
		ln -s "$(basename "$iptables")" "$to/usr/sbin/$name"
	done
	cp "$xtables"/libxt_{standard,tcp,udp,comment,addrtype,mark,MARK,multiport,conntrack,NAT,DNAT,SNAT,MASQUERADE}.so \
		"$to$xtables/"
	for name in $cni_plugins; do
		copy_program "$cni_dir/$name" "$to"
		ln -s "$cni_dir/$name" "$to/opt/cni/bin/$name"
	done
}

# pack_initrd ROOT: the initramfs, on the standard output.
pack_initrd() { (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet); }
