// csi-loopdisk is a CSI driver for a single test node. Its volumes are image
// files on an XFS file system, attached as loop devices; snapshots and clones
// are reflink copies. One process serves CSI, registers itself with the
// kubelet and provisions PersistentVolumes.
package main

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	registerapi "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

func main() {
	d := &driver{}
	flag.StringVar(&d.name, "driver-name", "loopdisk.csi.local", "name of this driver; several can serve one node")
	flag.StringVar(&d.store, "store", "", "directory on an XFS file system with reflink=1 (required)")
	flag.StringVar(&d.nodeID, "node-id", "", "name of this node (required)")
	flag.BoolVar(&d.noSnapshots, "no-snapshots", false, "do not announce the snapshot capabilities")
	endpoint := flag.String("endpoint", "", "unix socket of the CSI services (required)")
	kubeletRoot := flag.String("kubelet-root", "/var/lib/kubelet", "root directory of the kubelet")
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file; without it there is no provisioner and no registration")
	klog.InitFlags(nil)
	flag.Parse()
	if d.store == "" || d.nodeID == "" || *endpoint == "" {
		klog.Exit("--store, --node-id and --endpoint are required")
	}
	socket := strings.TrimPrefix(*endpoint, "unix://")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	if err := d.init(); err != nil {
		klog.Exitf("store %s: %v", d.store, err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(logCall))
	csi.RegisterIdentityServer(server, d)
	csi.RegisterControllerServer(server, d)
	csi.RegisterNodeServer(server, d)
	serve(server, socket)

	if *kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
		if err != nil {
			klog.Exit(err)
		}
		config.QPS, config.Burst = 200, 400
		go runProvisioner(ctx, d, config)

		regServer := grpc.NewServer()
		registerapi.RegisterRegistrationServer(regServer, &registration{driver: d.name, endpoint: socket})
		serve(regServer, filepath.Join(*kubeletRoot, "plugins_registry", d.name+"-reg.sock"))
		defer regServer.Stop() // removes its socket, so that the kubelet forgets the driver
	}
	klog.Infof("%s serves on %s, store %s", d.name, socket, d.store)
	<-ctx.Done()
	server.GracefulStop()
	d.mu.Lock() // let an operation of the provisioner finish
}

func serve(server *grpc.Server, socket string) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o750); err != nil {
		klog.Exit(err)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		klog.Exit(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		klog.Exit(err)
	}
	go func() {
		if err := server.Serve(listener); err != nil {
			klog.Exit(err)
		}
	}()
}

// logCall logs all failed calls, and the successful ones that change something.
func logCall(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	if status.Code(err) == codes.Unknown { // a plain error
		err = status.Error(codes.Internal, err.Error())
	}
	var what []string
	if r, ok := req.(interface{ GetName() string }); ok {
		what = append(what, r.GetName())
	}
	if r, ok := req.(interface{ GetVolumeId() string }); ok {
		what = append(what, r.GetVolumeId())
	}
	if r, ok := req.(interface{ GetSnapshotId() string }); ok {
		what = append(what, r.GetSnapshotId())
	}
	method := filepath.Base(info.FullMethod)
	if err != nil {
		klog.Errorf("%s %s: %v", method, strings.Join(what, " "), err)
	} else if !strings.Contains(method, "Get") && !strings.HasPrefix(method, "List") && method != "Probe" {
		klog.Infof("%s %s: ok", method, strings.Join(what, " "))
	}
	return resp, err
}

// registration answers the plugin watcher of the kubelet.
type registration struct {
	registerapi.UnimplementedRegistrationServer
	driver, endpoint string
}

func (r *registration) GetInfo(context.Context, *registerapi.InfoRequest) (*registerapi.PluginInfo, error) {
	return &registerapi.PluginInfo{
		Type:              registerapi.CSIPlugin,
		Name:              r.driver,
		Endpoint:          r.endpoint,
		SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (r *registration) NotifyRegistrationStatus(_ context.Context, s *registerapi.RegistrationStatus) (*registerapi.RegistrationStatusResponse, error) {
	if s.PluginRegistered {
		klog.Info("the kubelet registered the driver")
	} else {
		klog.Errorf("the kubelet did not register the driver: %s", s.Error)
	}
	return &registerapi.RegistrationStatusResponse{}, nil
}
