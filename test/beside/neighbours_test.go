package beside

import "strings"

// neighbour is a program that writes rules on the gateway's host.
type neighbour struct {
	name    string
	at      place
	flushes bool // a reload of it flushes all rules, the gateway's too
	helps   bool // it has the kernel's helper do what it can
	begin   func(*room)
	reload  func(*room)
	also    func(*network) // what it is there for still holds
}

var neighbours = []neighbour{
	{name: "nftables.service", at: gatewayHost, flushes: true, begin: nftables, reload: nftables},
	{name: "iptables-nft", at: gatewayHost, begin: iptables("iptables-nft-restore"),
		reload: iptables("iptables-nft-restore")},
	{name: "iptables-legacy", at: gatewayHost, begin: iptables("iptables-legacy-restore"),
		reload: iptables("iptables-legacy-restore")},
	{name: "firewalld", at: gatewayHost, begin: firewalld, reload: firewalldReload},
	{name: "firewalld with its service ftp", at: gatewayHost, helps: true, begin: firewalldFTP,
		reload: firewalldReload},
	{name: "ufw", at: gatewayHost, begin: ufw, reload: func(r *room) { r.run("ufw", "reload") }},
	{name: "fail2ban", at: gatewayHost, begin: fail2ban,
		reload: func(r *room) { r.run("fail2ban-client", "reload") }, also: wantBanned},
	{name: "Docker 28", at: dockerHost, begin: docker28, reload: docker28},
	{name: "Docker 29 with nftables", at: dockerHost, begin: docker29, reload: docker29},
	{name: "kube-proxy with iptables", at: node, begin: kubeProxyIptables, reload: kubeProxyIptables},
	{name: "kube-proxy with nftables", at: node, begin: kubeProxyNftables, reload: kubeProxyNftables},
}

// nftables does what the unit does at its start and at a reload.
func nftables(r *room) {
	r.write("/etc/nftables.conf", text(r.t, "testdata/nftables.conf"))
	r.run("nft", "-f", "/etc/nftables.conf")
}

func iptables(restore string) func(*room) {
	return func(r *room) {
		r.write("/etc/iptables.rules", text(r.t, "testdata/iptables.rules"))
		r.run(restore, "/etc/iptables.rules")
	}
}

func docker28(r *room) {
	r.write("/etc/docker.rules", text(r.t, "../e2e/testdata/docker28.rules"))
	r.run("iptables-nft-restore", "/etc/docker.rules")
}

func docker29(r *room) {
	r.write("/etc/docker.nft", text(r.t, "testdata/docker29.nft"))
	r.run("nft", "-f", "/etc/docker.nft")
}

// bus is a system bus on which nothing is started that is not there: firewalld then asks nobody whether root
// may.
const bus = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>`

// firewalld runs what its page says, and begins anew with it.
func firewalld(r *room) { firewalldWith(r, "firewalld") }

// firewalldFTP has firewalld attach the kernel's helper to the same connections, as its service does.
func firewalldFTP(r *room) {
	firewalldWith(r, "firewalld-ftp")
	rules := r.run("nft", "list", "table", "inet", "firewalld")
	if !strings.Contains(rules, "ct helper set") {
		r.t.Errorf("firewalld attaches no helper, so this proves nothing:\n%s", rules)
	}
}

func firewalldWith(r *room, commands string) {
	r.write("/etc/bus.conf", bus)
	r.start([]string{"test", "-S", "/run/dbus/system_bus_socket"},
		"dbus-daemon", "--nofork", "--nopidfile", "--config-file=/etc/bus.conf")
	r.run("bash", "-ec", document(r.t, commands))
	r.start([]string{"firewall-cmd", "--state"}, "firewalld", "--nofork", "--nopid")
}

func firewalldReload(r *room) { r.run("firewall-cmd", "--reload") }

func ufw(r *room) { r.run("bash", "-ec", document(r.t, "ufw")) }

func fail2ban(r *room) {
	nftables(r)
	r.write("/var/log/vsftpd.log", "")
	r.write("/etc/fail2ban/jail.d/defaults-debian.conf", "")
	r.run("bash", "-ec", document(r.t, "fail2ban"))
	r.run("mkdir", "-p", "/run/fail2ban")
	r.start([]string{"fail2ban-client", "status", "vsftpd"}, "fail2ban-server", "-f")
	r.run("fail2ban-client", "set", "vsftpd", "banip", "203.0.113.77")
	if rules := r.run("nft", "list", "ruleset"); !strings.Contains(rules, "203.0.113.77") {
		r.t.Errorf("fail2ban bans nobody:\n%s", rules)
	}
}
