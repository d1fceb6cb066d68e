package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/state"
)

// States of a cluster that a member starts in, as etcd has them.
const (
	clusterNew      = "new"
	clusterExisting = "existing"
)

// clusterMember are the flags that make weft etcd a member of a cluster. Their names are etcd's.
type clusterMember struct {
	name, state, token string
	listen, advertise  []string
	members            []string
	tls                agent.TLS
}

func (m *clusterMember) flags(f *pflag.FlagSet) {
	f.StringVar(&m.name, "name", "", "be the member of this `name` of a cluster")
	f.StringSliceVar(&m.listen, "listen-peer", nil, "listen to the other members at `URL`: http or https")
	f.StringSliceVar(&m.members, "initial-cluster", nil, "all members, this one too: `NAME=URL,…`, each with the URL at which the others reach it")
	f.StringVar(&m.state, "initial-cluster-state", clusterNew, "new: all start for the first time; existing: this one was added to others that run")
	f.StringVar(&m.token, "initial-cluster-token", "weft", "tells clusters apart that are set up on the same hosts")
	f.StringSliceVar(&m.advertise, "advertise", nil, "`URL` to name to clients that ask where the members are; default: --listen")
	f.StringVar(&m.tls.Cert, "peer-cert", "", "PEM `file` of the certificate to show to the other members, as a server and as a client")
	f.StringVar(&m.tls.Key, "peer-key", "", "PEM `file` of its key")
	f.StringVar(&m.tls.CA, "peer-ca", "", "PEM `file` of the authority of the members' certificates")
}

// check says what is wrong with the flags.
func (m *clusterMember) check(open bool) error {
	if m.name == "" {
		if len(m.listen)+len(m.members)+len(m.advertise) > 0 || !m.tls.IsZero() || m.state != clusterNew {
			return errors.New("--name: is missing; name the member of --initial-cluster that this one is")
		}
		return nil
	}
	all, err := m.all()
	switch {
	case err != nil:
		return err
	case len(all) == 0:
		return fmt.Errorf("--initial-cluster: is missing; list all members, such as %s=https://192.0.2.11:2380,…", m.name)
	case all[m.name] == "":
		return fmt.Errorf("--name %q: is not in --initial-cluster, which has %s", m.name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	case m.state != clusterNew && m.state != clusterExisting:
		return fmt.Errorf("--initial-cluster-state %q: use %s or %s", m.state, clusterNew, clusterExisting)
	case len(m.listen) == 0:
		return fmt.Errorf("--listen-peer: is missing; listen to the other members, such as at %s", all[m.name])
	}
	for _, listen := range m.listen {
		if strings.HasPrefix(listen, "unix:") {
			return fmt.Errorf("--listen-peer %q: is a socket; use http or https", listen)
		}
		if err := checkListen("--listen-peer", listen, m.tls, open); err != nil {
			return err
		}
		if strings.HasPrefix(listen, "https:") && m.tls.CA == "" && !open {
			return fmt.Errorf("--listen-peer %q: lets in everybody as a member; give --peer-ca, or say --insecure", listen)
		}
	}
	return nil
}

// all are the members by name.
func (m *clusterMember) all() (map[string]string, error) {
	all := map[string]string{}
	for _, s := range m.members {
		name, url, ok := strings.Cut(s, "=")
		switch {
		case !ok || name == "" || url == "":
			return nil, fmt.Errorf("--initial-cluster %q: is not NAME=URL", s)
		case all[name] != "":
			return nil, fmt.Errorf("--initial-cluster: has %s twice; give each member a name of its own", name)
		}
		all[name] = url
	}
	return all, nil
}

// config is what the flags say, nil if there is no cluster.
func (m *clusterMember) config() *state.Member {
	if m.name == "" {
		return nil
	}
	all, _ := m.all() // checked
	return &state.Member{
		Name: m.name, Listen: m.listen, Members: all, Join: m.state == clusterExisting, Token: m.token, Advertise: m.advertise,
		CertFile: m.tls.Cert, KeyFile: m.tls.Key, CAFile: m.tls.CA,
	}
}
