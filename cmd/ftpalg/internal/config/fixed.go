package config

import "slices"

// Fixed names the keys that differ between two configurations and that a running
// program cannot change: packets that wait in its queue would be lost.
func Fixed(a, b Config) []string {
	var keys []string
	for _, k := range []struct {
		name    string
		differs bool
	}{
		{"queue", a.Queue != b.Queue},
		{"workers", a.Workers != b.Workers},
		{"table", a.Table != b.Table},
		{"rules", a.ExternalRules != b.ExternalRules},
		{"helper", a.Helper != b.Helper},
		{"events", a.Events != b.Events},
		{"zones", a.Zones.Any != b.Zones.Any || !slices.Equal(a.Zones.Named, b.Zones.Named)},
		{"metrics", a.Metrics != b.Metrics},
		{"http", a.HTTP != b.HTTP},
		{"socket", a.Socket != b.Socket},
		{"privacy", a.Names != b.Names},
		{"log.format", a.Log.JSON != b.Log.JSON},
		{"log.transfers", a.Log.Transfers != b.Log.Transfers},
	} {
		if k.differs {
			keys = append(keys, k.name)
		}
	}
	return keys
}
