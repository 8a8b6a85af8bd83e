# shellcheck shell=dash
# Stands in for what the init script uses of OpenWrt: options of one section in the file $UCI, and a procd that
# tells what it was given.
config_load() { :; }
config_get() { # VARIABLE SECTION OPTION
	eval "$1=\$(sed -n \"s/^[[:space:]]*\(option\|list\) $3 '\(.*\)'\$/\2/p\" \"\$UCI\" | tr '\n' ' ' | sed 's/ \$//')"
}
config_get_bool() { # VARIABLE SECTION OPTION DEFAULT
	config_get "$1" "$2" "$3"
	eval "[ -n \"\$$1\" ] || $1=$4"
}
procd_open_instance() { :; }
procd_close_instance() { :; }
procd_set_param() { echo "procd: $*"; }
