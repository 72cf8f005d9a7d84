package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const testDriver = "test.csi.local"

// Needs root, and LOOPDISK_TEST_STORE on an XFS file system with reflink=1.
func TestVolumes(t *testing.T) {
	store := os.Getenv("LOOPDISK_TEST_STORE")
	if store == "" {
		t.Skip("LOOPDISK_TEST_STORE is not set")
	}
	for _, fsType := range []string{"ext4", "xfs"} {
		t.Run(fsType, func(t *testing.T) { testVolumes(t, store, fsType) })
	}
}

func testVolumes(t *testing.T, store, fsType string) {
	ctx, dir := context.Background(), t.TempDir()
	d := &driver{name: testDriver, store: store, nodeID: "n"}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(err error, code codes.Code) {
		t.Helper()
		if status.Code(err) != code {
			t.Fatalf("want %s, got %v", code, err)
		}
	}
	ok(d.init())
	capability := func(mode csi.VolumeCapability_AccessMode_Mode, flags ...string) *csi.VolumeCapability {
		return &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: fsType, MountFlags: flags}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: mode},
		}
	}
	multi := capability(csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER, "noexec", "noatime")
	single := capability(csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER)
	create := func(name string, size int64, src *csi.VolumeContentSource) (string, error) {
		r, err := d.CreateVolume(ctx, &csi.CreateVolumeRequest{Name: name, VolumeContentSource: src,
			CapacityRange: &csi.CapacityRange{RequiredBytes: size}, VolumeCapabilities: []*csi.VolumeCapability{multi}})
		return r.GetVolume().GetVolumeId(), err
	}
	staging := func(id string) string { return filepath.Join(dir, "stage", id) }
	target := func(id string) string { return filepath.Join(dir, "pod", id, "mount") }
	publish := func(id, path string, c *csi.VolumeCapability, ro bool) error {
		_, err := d.NodePublishVolume(ctx, &csi.NodePublishVolumeRequest{VolumeId: id, StagingTargetPath: staging(id), TargetPath: path, VolumeCapability: c, Readonly: ro})
		return err
	}
	stageIt := func(id string) error {
		_, err := d.NodeStageVolume(ctx, &csi.NodeStageVolumeRequest{VolumeId: id, StagingTargetPath: staging(id), VolumeCapability: multi})
		return err
	}
	unpublish := func(id, path string) {
		t.Helper()
		for range 2 {
			_, err := d.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: id, TargetPath: path})
			ok(err)
		}
	}
	up := func(id string) {
		t.Helper()
		for range 2 { // idempotent
			ok(stageIt(id))
			ok(publish(id, target(id), multi, false))
		}
	}
	down := func(id string) {
		t.Helper()
		unpublish(id, target(id))
		for range 2 {
			_, err := d.NodeUnstageVolume(ctx, &csi.NodeUnstageVolumeRequest{VolumeId: id, StagingTargetPath: staging(id)})
			ok(err)
		}
		dev, err := loopOf(d.path(id, ".img"))
		if ok(err); dev != "" {
			t.Fatalf("%s is still attached as %s", id, dev)
		}
	}
	total := func(id string) int64 {
		t.Helper()
		r, err := d.NodeGetVolumeStats(ctx, &csi.NodeGetVolumeStatsRequest{VolumeId: id, VolumePath: target(id)})
		ok(err)
		return r.Usage[0].Total
	}

	const size = 320 << 20
	_, err := create(fsType+"-tiny", 1000, nil)
	want(err, codes.OutOfRange)
	a, err := create(fsType+"-a", size, nil)
	ok(err)
	up(a)
	d = &driver{name: testDriver, store: store, nodeID: "n"} // a restart
	ok(d.init())
	up(a)
	_, err = d.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: a})
	want(err, codes.FailedPrecondition)

	// read-only, and it keeps the flags of the mount
	roPath := filepath.Join(dir, "ro")
	ok(publish(a, roPath, multi, true))
	if err := os.WriteFile(filepath.Join(roPath, "x"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
		t.Fatalf("want EROFS, got %v", err)
	}
	out, err := run("findmnt", "-no", "OPTIONS", roPath)
	if ok(err); !bytes.Contains([]byte(out), []byte("noexec")) || !bytes.Contains([]byte(out), []byte("noatime")) {
		t.Fatalf("options %s", out)
	}
	want(publish(a, filepath.Join(dir, "second"), single, false), codes.FailedPrecondition)
	unpublish(a, roPath)

	// a snapshot without a sync, under a writer
	ok(os.WriteFile(filepath.Join(target(a), "data"), bytes.Repeat([]byte("x"), 5<<20), 0o600))
	stop, done := make(chan bool), make(chan error)
	go func() {
		f, err := os.Create(filepath.Join(target(a), "writer"))
		for err == nil {
			select {
			case <-stop:
				done <- f.Close()
				return
			default:
				_, err = f.WriteAt(make([]byte, 65536), 0)
			}
		}
		done <- err
	}()
	_, err = d.CreateSnapshot(ctx, &csi.CreateSnapshotRequest{Name: fsType + "-s", SourceVolumeId: a, Parameters: map[string]string{readyDelayKey: "soon"}})
	want(err, codes.InvalidArgument)
	s, err := d.CreateSnapshot(ctx, &csi.CreateSnapshotRequest{Name: fsType + "-s", SourceVolumeId: a, Parameters: map[string]string{readyDelayKey: "1s"}})
	ok(err)
	snap := s.Snapshot.SnapshotId
	if s.Snapshot.ReadyToUse {
		t.Fatal("ready too early")
	}
	_, err = create(fsType+"-b", size, snapshotSource(snap))
	want(err, codes.Unavailable)
	c, err := create(fsType+"-c", size, volumeSource(a)) // a clone of the mounted volume
	ok(err)
	time.Sleep(time.Second)
	close(stop)
	ok(<-done)
	ok(os.WriteFile(filepath.Join(target(a), "data"), []byte("changed"), 0o600))
	_, err = create(fsType+"-b", size-4096, snapshotSource(snap))
	want(err, codes.OutOfRange)
	b, err := create(fsType+"-b", 2*size, snapshotSource(snap))
	ok(err)
	for _, id := range []string{b, c} {
		up(id)
		data, err := os.ReadFile(filepath.Join(target(id), "data"))
		if ok(err); len(data) != 5<<20 {
			t.Fatalf("%d bytes", len(data))
		}
	}
	if total(b) < 2*total(a)*8/10 {
		t.Fatalf("not grown: %d of %d", total(b), total(a))
	}

	// it fills up at its size
	f, err := os.Create(filepath.Join(target(c), "fill"))
	ok(err)
	written := 0
	for err == nil {
		var n int
		n, err = f.Write(make([]byte, 1<<20))
		written += n
	}
	f.Close()
	if !errors.Is(err, syscall.ENOSPC) || written > size {
		t.Fatalf("%d bytes, then %v", written, err)
	}
	// frozen by someone else: the snapshot works, and the freeze stays
	ok(ioctl(staging(a), fiFreeze))
	s2, err := d.CreateSnapshot(ctx, &csi.CreateSnapshotRequest{Name: fsType + "-s2", SourceVolumeId: a})
	ok(err)
	ok(ioctl(staging(a), fiThaw))
	// frozen by a driver that died
	ok(ioctl(staging(a), fiFreeze))
	ok(os.WriteFile(d.path(a, ".frozen"), nil, 0o600))
	ok(d.init())
	ok(os.WriteFile(filepath.Join(target(a), "thawed"), nil, 0o600))

	for _, id := range []string{a, b, c} {
		down(id)
		_, err = d.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: id})
		ok(err)
	}
	for _, id := range []string{snap, s2.Snapshot.SnapshotId} {
		_, err = d.DeleteSnapshot(ctx, &csi.DeleteSnapshotRequest{SnapshotId: id})
		ok(err)
	}
}
