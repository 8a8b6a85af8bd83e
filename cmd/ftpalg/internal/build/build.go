package build

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Info is what the program was built from.
type Info struct {
	Version, Revision, GoVersion string
}

// Read returns what the Go tool noted in the program. A version given to the
// linker is the stronger; empty: none was.
func Read(version string) Info {
	i := Info{Version: version, GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return i
	}
	if i.Version == "" {
		i.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			i.Revision = s.Value
		}
	}
	return i
}

func (i Info) String() string {
	s := fmt.Sprintf("%s %s %s/%s", i.Version, i.GoVersion, runtime.GOOS, runtime.GOARCH)
	if i.Revision != "" {
		s += " revision " + i.Revision
	}
	return s
}
