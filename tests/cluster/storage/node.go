package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ---- node

func (d *driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: d.nodeID}, nil
}

func (d *driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	resp := &csi.NodeGetCapabilitiesResponse{}
	for _, t := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
		csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		resp.Capabilities = append(resp.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: t}},
		})
	}
	return resp, nil
}

func (d *driver) NodeStageVolume(_ context.Context, req *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	if req.VolumeId == "" || req.StagingTargetPath == "" || req.VolumeCapability == nil {
		return nil, status.Error(codes.InvalidArgument, "volume_id, staging_target_path and volume_capability are required")
	}
	if err := checkCapability(req.VolumeCapability); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m, err := d.load("vol", req.VolumeId)
	if err != nil {
		return nil, err
	}
	img := d.path(m.ID, ".img")
	dev, err := loopOf(img)
	if err != nil {
		return nil, err
	}
	mounted, err := mountAt(req.StagingTargetPath)
	if err != nil {
		return nil, err
	}
	if mounted != nil {
		if dev == "" || mounted.dev != devNumber(dev) {
			return nil, status.Errorf(codes.FailedPrecondition, "%s is on %s, not volume %s", mounted.source, mounted.point, m.ID)
		}
		return &csi.NodeStageVolumeResponse{}, nil
	}
	if dev == "" {
		if dev, err = run("losetup", "--find", "--show", img); err != nil {
			return nil, err
		}
	}
	// From here on the loop device lives as long as it is mounted: "-d" on a
	// busy device asks the kernel to detach it at the last close. So nothing is
	// left over when the mount fails, or when the node's namespace is killed.
	defer run("losetup", "-d", dev)
	if err := stage(dev, req.StagingTargetPath, req.VolumeCapability.GetMount(), m.Grow); err != nil {
		return nil, err
	}
	if m.Grow {
		m.Grow = false
		if err := d.save(m); err != nil {
			return nil, err
		}
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

// A new volume reads as zeros, so mkfs need not write any, and no kernel thread
// initialises inode tables in the background of what is measured.
const ext4Options = "nodiscard,assume_storage_prezeroed=1"

// stage makes the file system if the device is blank, and mounts it; a grown
// volume is also resized: ext4 before it is mounted, because that needs fewer
// privileges (online it takes CAP_SYS_RESOURCE), xfs after, as it must be.
func stage(dev, path string, c *csi.VolumeCapability_MountVolume, grow bool) error {
	found, err := run("blkid", "--probe", "--match-tag", "TYPE", "--output", "value", dev)
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 2) { // 2: blank
		return err
	}
	fsType := c.FsType
	if fsType == "" {
		if fsType = found; fsType == "" {
			fsType = "ext4"
		}
	}
	switch {
	case found != "" && found != fsType:
		return status.Errorf(codes.FailedPrecondition, "the volume holds %s, not %s", found, fsType)
	case found == "" && fsType == "xfs":
		_, err = run("mkfs.xfs", "-q", "-f", dev)
	case found == "":
		_, err = run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", ext4Options, dev)
	case grow && fsType == "ext4":
		if _, err = run("e2fsck", "-f", "-p", dev); err == nil || errors.As(err, &exit) && exit.ExitCode() == 1 { // 1: repaired
			_, err = run("resize2fs", dev)
		}
	default:
		err = nil
	}
	if err != nil {
		return err
	}
	flags := slices.Clone(c.MountFlags)
	if fsType == "xfs" {
		flags = append(flags, "nouuid") // a copy has the UUID of its source
	}
	args := []string{"-t", fsType}
	if len(flags) > 0 {
		args = append(args, "-o", strings.Join(flags, ","))
	}
	if err := os.MkdirAll(path, 0o750); err != nil {
		return err
	}
	if _, err := run("mount", append(args, dev, path)...); err != nil {
		return err
	}
	if grow && fsType == "xfs" {
		if _, err := run("xfs_growfs", "-d", path); err != nil {
			return errors.Join(err, unmount(path))
		}
	}
	return nil
}

func (d *driver) NodeUnstageVolume(_ context.Context, req *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	if req.VolumeId == "" || req.StagingTargetPath == "" {
		return nil, status.Error(codes.InvalidArgument, "volume_id and staging_target_path are required")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := unmount(req.StagingTargetPath); err != nil {
		return nil, err
	}
	// Usually the device is gone now; not if the driver died between losetup and mount.
	if _, err := d.load("vol", req.VolumeId); err == nil {
		dev, err := loopOf(d.path(req.VolumeId, ".img"))
		if err == nil && dev != "" {
			_, err = run("losetup", "-d", dev)
		}
		if err != nil {
			return nil, err
		}
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}

func (d *driver) NodePublishVolume(_ context.Context, req *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	if req.VolumeId == "" || req.TargetPath == "" || req.VolumeCapability == nil {
		return nil, status.Error(codes.InvalidArgument, "volume_id, target_path and volume_capability are required")
	}
	if err := checkCapability(req.VolumeCapability); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m, err := d.load("vol", req.VolumeId)
	if err != nil {
		return nil, err
	}
	dev, err := loopOf(d.path(m.ID, ".img"))
	if err != nil {
		return nil, err
	}
	staged, err := mountAt(req.StagingTargetPath)
	if err != nil {
		return nil, err
	}
	if dev == "" || staged == nil || staged.dev != devNumber(dev) {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is not staged at %q", m.ID, req.StagingTargetPath)
	}
	current, err := mountAt(req.TargetPath)
	if err != nil {
		return nil, err
	}
	if current != nil && current.dev != staged.dev {
		return nil, status.Errorf(codes.FailedPrecondition, "%s is on %s, not volume %s", current.source, current.point, m.ID)
	}
	if current != nil && current.readonly && !req.Readonly && !staged.readonly {
		return nil, status.Errorf(codes.AlreadyExists, "%s is published read-only", req.TargetPath)
	}
	var targets []string // those that are still in effect
	for _, t := range m.Targets {
		if e, err := mountAt(t); err == nil && e != nil && e.dev == staged.dev && t != req.TargetPath {
			targets = append(targets, t)
		}
	}
	if req.VolumeCapability.AccessMode.Mode == csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER && len(targets) > 0 {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s for a single writer is already published at %s", m.ID, targets[0])
	}
	m.Targets = append(targets, req.TargetPath)
	if err := d.save(m); err != nil {
		return nil, err
	}
	if current == nil {
		if err := os.MkdirAll(req.TargetPath, 0o750); err != nil {
			return nil, err
		}
		if _, err := run("mount", "--bind", req.StagingTargetPath, req.TargetPath); err != nil {
			return nil, err
		}
	}
	if req.Readonly && (current == nil || !current.readonly) {
		if _, err := run("mount", "-o", "remount,bind,ro", req.TargetPath); err != nil {
			return nil, err
		}
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (d *driver) NodeUnpublishVolume(_ context.Context, req *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	if req.VolumeId == "" || req.TargetPath == "" {
		return nil, status.Error(codes.InvalidArgument, "volume_id and target_path are required")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := unmount(req.TargetPath); err != nil {
		return nil, err
	}
	if err := os.Remove(req.TargetPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if m, err := d.load("vol", req.VolumeId); err == nil && slices.Contains(m.Targets, req.TargetPath) {
		m.Targets = slices.DeleteFunc(m.Targets, func(t string) bool { return t == req.TargetPath })
		if err := d.save(m); err != nil {
			return nil, err
		}
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

func (d *driver) NodeGetVolumeStats(_ context.Context, req *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	if req.VolumeId == "" || req.VolumePath == "" {
		return nil, status.Error(codes.InvalidArgument, "volume_id and volume_path are required")
	}
	if _, err := d.load("vol", req.VolumeId); err != nil {
		return nil, err
	}
	points, err := d.mountsOf(d.path(req.VolumeId, ".img"))
	if err != nil {
		return nil, err
	}
	at, err := mountAt(req.VolumePath)
	if err != nil {
		return nil, err
	}
	if at == nil || !slices.Contains(points, *at) {
		return nil, status.Errorf(codes.NotFound, "volume %s is not mounted at %s", req.VolumeId, req.VolumePath)
	}
	var s unix.Statfs_t
	if err := unix.Statfs(req.VolumePath, &s); err != nil {
		return nil, err
	}
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		{Unit: csi.VolumeUsage_BYTES, Total: int64(s.Blocks) * s.Bsize, Available: int64(s.Bavail) * s.Bsize, Used: int64(s.Blocks-s.Bfree) * s.Bsize},
		{Unit: csi.VolumeUsage_INODES, Total: int64(s.Files), Available: int64(s.Ffree), Used: int64(s.Files - s.Ffree)},
	}}, nil
}
