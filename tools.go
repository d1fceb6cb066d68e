//go:build tools

package tools

import (
	_ "github.com/gaissmai/bart"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/gopacket/gopacket"
	_ "github.com/p4lang/p4runtime/go/p4/v1"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/spf13/cobra"
	_ "github.com/vishvananda/netlink"
	_ "github.com/vishvananda/netns"
	_ "go.etcd.io/etcd/client/v3"
	_ "go.etcd.io/etcd/server/v3/embed"
	_ "go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	_ "go.uber.org/goleak"
	_ "go4.org/netipx"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/time/rate"
	_ "gvisor.dev/gvisor/pkg/tcpip/stack"
	_ "pgregory.net/rapid"
	_ "github.com/goccy/go-yaml"
	_ "charm.land/lipgloss/v2"
	_ "google.golang.org/grpc"
	_ "google.golang.org/protobuf/proto"
)
