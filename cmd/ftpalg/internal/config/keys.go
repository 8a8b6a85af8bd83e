package config

import (
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/ftpalg/ftpalg/alg"
)

// key is one thing that can be set.
type key struct {
	name string // with its sections, as in "metrics.address"
	value
}

// maxLimit keeps a limit that was meant as "none" from looking like one.
const maxLimit = 1_000_000_000

var (
	tableName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,30}$`)
	helperName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,15}$`)
)

// keys is the table of all keys, in the order of the example file.
var keys = []key{
	{"ports", ports(func(c *Config) *[]uint16 { return &c.Ports })},
	{"queue", number(0, 65535, func(c *Config) *uint16 { return &c.Queue })},
	{"table", name("1 to 31 letters, digits and underscores, a letter first", tableName, func(c *Config) *string { return &c.Table })},
	{"rules", choice(func(c *Config) *bool { return &c.ExternalRules },
		option[bool]{"managed", false}, option[bool]{"external", true})},
	{"helper", name("auto, or the name of a conntrack helper, of at most 15 characters", helperName,
		func(c *Config) *string { return &c.Helper })},
	{"metrics.address", listener(func(c *Config) *string { return &c.Metrics.Address })},
	{"metrics.path", path(func(c *Config) *string { return &c.Metrics.Path })},
	{"log.format", choice(func(c *Config) *bool { return &c.Log.JSON },
		option[bool]{"text", false}, option[bool]{"json", true})},
	{"log.level", choice(func(c *Config) *slog.Level { return &c.Log.Level },
		option[slog.Level]{"debug", slog.LevelDebug}, option[slog.Level]{"info", slog.LevelInfo},
		option[slog.Level]{"warn", slog.LevelWarn}, option[slog.Level]{"error", slog.LevelError})},
	{"active", yes(func(c *Config) *bool { return &c.Policy.Active })},
	{"passive", yes(func(c *Config) *bool { return &c.Policy.Passive })},
	{"external_address", external()},
	{"internal_networks", networks(func(c *Config) *[]netip.Prefix { return &c.Policy.Internal })},
	{"any_passive_address", yes(func(c *Config) *bool { return &c.Policy.AnyPassiveAddress })},
	{"fxp_networks", networks(func(c *Config) *[]netip.Prefix { return &c.Policy.FXP })},
	{"min_port", number(1, 65535, func(c *Config) *uint16 { return &c.Policy.MinPort })},
	{"port_range", portRange()},
	{"pinhole_timeout", duration(time.Second, time.Hour, func(c *Config) *time.Duration { return &c.Policy.Timeout })},
	{"tls", choice(func(c *Config) *alg.TLS { return &c.Policy.TLS },
		option[alg.TLS]{"pass", alg.TLSPass}, option[alg.TLS]{"watch", alg.TLSWatch}, option[alg.TLS]{"deny", alg.TLSDeny})},
	{"limits.sessions", limit(func(l *alg.Limits) *int { return &l.Sessions })},
	{"limits.sessions_per_client", limit(func(l *alg.Limits) *int { return &l.SessionsPerClient })},
	{"limits.open_per_client", limit(func(l *alg.Limits) *int { return &l.OpenPerClient })},
	{"limits.new_per_minute", limit(func(l *alg.Limits) *int { return &l.NewPerMinute })},
	{"strict.enabled", yes(func(c *Config) *bool { return &c.Policy.Strict.Enabled })},
	{"strict.allow", commands(func(c *Config) *[]string { return &c.Policy.Strict.Allow })},
	{"strict.deny", commands(func(c *Config) *[]string { return &c.Policy.Strict.Deny })},
	{"strict.read_only", yes(func(c *Config) *bool { return &c.Policy.Strict.ReadOnly })},
	{"strict.max_line", number(0, 65535, func(c *Config) *int { return &c.Policy.Strict.MaxLine })},
	{"strict.max_trailing", number(0, 65535, func(c *Config) *int { return &c.Policy.Strict.MaxTrailing })},
	{"strict.wait_for_reply", yes(func(c *Config) *bool { return &c.Policy.Strict.WaitForReply })},
	{"strict.need_crlf", yes(func(c *Config) *bool { return &c.Policy.Strict.NeedCRLF })},
	{"strict.direction", yes(func(c *Config) *bool { return &c.Policy.Strict.Direction })},
	{"strict.mask_banner", yes(func(c *Config) *bool { return &c.Policy.Strict.MaskBanner })},
	{"strict.mask_syst", yes(func(c *Config) *bool { return &c.Policy.Strict.MaskSYST })},
	{"strict.deny_users", patterns(func(c *Config) *[]*regexp.Regexp { return &c.Policy.Strict.DenyUsers })},
	{"strict.deny_files", patterns(func(c *Config) *[]*regexp.Regexp { return &c.Policy.Strict.DenyFiles })},
	{"strict.reset", yes(func(c *Config) *bool { return &c.Policy.Strict.Reset })},
}

func limit(at func(*alg.Limits) *int) value {
	v := number(0, maxLimit, func(c *Config) *int { return at(&c.Policy.Limits) })
	v.allowed += " (0: no limit)"
	return v
}

// find returns the key of this name.
func find(name string) (key, bool) {
	for _, k := range keys {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}

// inside returns the names that may stand in a section, "" being the whole file.
func inside(section string) []string {
	var names []string
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k.name, section)
		if !ok {
			continue
		}
		rest, _, _ = strings.Cut(rest, ".")
		if n := len(names); n == 0 || names[n-1] != rest {
			names = append(names, rest)
		}
	}
	return names
}
