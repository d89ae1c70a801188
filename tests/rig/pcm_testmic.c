/* Virtual microphone: an ALSA external I/O plugin (capture, S16, one fixed rate).
 *
 * The sound is a raw little-endian 16-bit interleaved file, looped. It starts with its first frame
 * when the device is first started; from then on CLOCK_MONOTONIC determines the frame, also across
 * later openings, so a test can tell from the samples how much audio was lost. A reader that is
 * too late gets a real overrun. A small shared file controls faults and the speed of the clock.
 *
 *   pcm_type.testmic { lib "/.../libasound_module_pcm_testmic.so" }
 *   pcm.pump { type testmic sound "/.../pump.raw" control "/.../pump.ctl" rate 48000 channels 1 }
 *
 * With "exclusive 1" the card can be open only once, like a real one (hw:): the next open, in any
 * process, fails with EBUSY.
 */
#define _GNU_SOURCE
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { HEALTHY = 0, UNPLUGGED = 1, FROZEN = 2, MUTED = 3 };

typedef struct { /* the same layout as CONTROL in virtual_microphone.py */
    uint32_t fault;
    uint32_t sound_version; /* incremented when the sound file is replaced */
    double epoch_s;         /* CLOCK_MONOTONIC of frame 0; 0 before the first start */
    double speed;           /* 1.0 = the nominal rate; 0.99 = a device clock that is 1 % slow */
} control_t;

typedef struct {
    snd_pcm_ioplug_t io;
    volatile control_t *control;
    char *sound_path;
    int16_t *sound;
    size_t sound_frames;
    uint32_t sound_version;
    unsigned sound_channels;
    int timer;
    int lock; /* an exclusive card's lock of its control file; otherwise -1 */
    double started_s, frozen_since_s; /* frozen_since_s < 0: not frozen */
    uint64_t first_frame;             /* frame of the sound at which the stream started */
    snd_pcm_uframes_t captured, delivered;
} mic_t;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int load_sound(mic_t *mic) {
    struct stat info;
    int fd = open(mic->sound_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    size_t frame_bytes = sizeof(int16_t) * mic->sound_channels;
    if (fstat(fd, &info) < 0 || (size_t)info.st_size < frame_bytes) { close(fd); return -EIO; }
    int16_t *sound = malloc((size_t)info.st_size);
    if (!sound || read(fd, sound, (size_t)info.st_size) != info.st_size) {
        free(sound);
        close(fd);
        return -EIO;
    }
    close(fd);
    free(mic->sound);
    mic->sound = sound;
    mic->sound_frames = (size_t)info.st_size / frame_bytes;
    mic->sound_version = mic->control->sound_version;
    return 0;
}

static void advance_to_clock(mic_t *mic) {
    double now = now_s();
    if (mic->control->fault == FROZEN) {
        if (mic->frozen_since_s < 0) mic->frozen_since_s = now;
        return;
    }
    if (mic->frozen_since_s >= 0) { /* the sound of the pause is lost */
        double pause_s = now - mic->frozen_since_s;
        mic->started_s += pause_s;
        mic->first_frame += (uint64_t)(pause_s * mic->io.rate);
        mic->frozen_since_s = -1;
    }
    double elapsed_s = now - mic->started_s;
    mic->captured = (snd_pcm_uframes_t)(elapsed_s * mic->io.rate * mic->control->speed);
}

static int mic_start(snd_pcm_ioplug_t *io) {
    mic_t *mic = io->private_data;
    uint64_t period_ns = (uint64_t)io->period_size * 1000000000ull / io->rate;
    struct timespec every = {(time_t)(period_ns / 1000000000), (long)(period_ns % 1000000000)};
    struct itimerspec timing = {every, every};
    mic->started_s = now_s();
    mic->frozen_since_s = -1;
    mic->captured = mic->delivered = 0;
    if (mic->control->epoch_s == 0) mic->control->epoch_s = mic->started_s;
    mic->first_frame = (uint64_t)((mic->started_s - mic->control->epoch_s) * io->rate);
    return timerfd_settime(mic->timer, 0, &timing, NULL) < 0 ? -errno : 0;
}

static int mic_stop(snd_pcm_ioplug_t *io) {
    mic_t *mic = io->private_data;
    struct itimerspec never = {{0, 0}, {0, 0}};
    timerfd_settime(mic->timer, 0, &never, NULL);
    return 0;
}

static snd_pcm_sframes_t mic_pointer(snd_pcm_ioplug_t *io) {
    mic_t *mic = io->private_data;
    if (mic->control->fault == UNPLUGGED) return -ENODEV;
    advance_to_clock(mic);
    if (mic->captured - mic->delivered > io->buffer_size) return -EPIPE;
    return (snd_pcm_sframes_t)(mic->captured % io->buffer_size);
}

static snd_pcm_sframes_t mic_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
                                      snd_pcm_uframes_t offset, snd_pcm_uframes_t frames) {
    mic_t *mic = io->private_data;
    int muted = mic->control->fault == MUTED;
    if (mic->control->sound_version != mic->sound_version) load_sound(mic);
    for (unsigned channel = 0; channel < io->channels; channel++) {
        unsigned step = areas[channel].step / 8;
        char *to = (char *)areas[channel].addr + areas[channel].first / 8 + offset * step;
        size_t frame = (size_t)((mic->first_frame + mic->delivered) % mic->sound_frames);
        const int16_t *from = mic->sound + channel % mic->sound_channels;
        for (snd_pcm_uframes_t i = 0; i < frames; i++, to += step) {
            *(int16_t *)to = muted ? 0 : from[frame * mic->sound_channels];
            if (++frame == mic->sound_frames) frame = 0;
        }
    }
    mic->delivered += frames;
    return (snd_pcm_sframes_t)frames;
}

static int mic_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *fds, unsigned count,
                            unsigned short *events) {
    mic_t *mic = io->private_data;
    uint64_t expirations;
    (void)count;
    *events = 0;
    if (fds[0].revents & POLLIN && read(mic->timer, &expirations, sizeof expirations) > 0)
        *events = mic->control->fault == FROZEN ? 0 : POLLIN;
    if (mic->control->fault == UNPLUGGED) *events = POLLERR | POLLHUP;
    return 0;
}

static int mic_close(snd_pcm_ioplug_t *io) {
    mic_t *mic = io->private_data;
    if (mic->timer >= 0) close(mic->timer);
    if (mic->lock >= 0) close(mic->lock);
    if (mic->control) munmap((void *)mic->control, sizeof *mic->control);
    free(mic->sound);
    free(mic->sound_path);
    free(mic);
    return 0;
}

static const snd_pcm_ioplug_callback_t CALLBACKS = {
    .start = mic_start,       .stop = mic_stop,
    .pointer = mic_pointer,   .transfer = mic_transfer,
    .close = mic_close,       .poll_revents = mic_poll_revents,
};

static int map_control(mic_t *mic, const char *path) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return -errno;
    void *at = mmap(NULL, sizeof *mic->control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) return -errno;
    mic->control = at;
    return mic->control->fault == UNPLUGGED ? -ENODEV : 0;
}

static int lock_card(mic_t *mic, const char *path) {
    mic->lock = open(path, O_RDONLY | O_CLOEXEC);
    if (mic->lock < 0) return -errno;
    return flock(mic->lock, LOCK_EX | LOCK_NB) < 0 ? -EBUSY : 0;
}

static int set_hw_params(mic_t *mic, unsigned rate) {
    snd_pcm_ioplug_t *io = &mic->io;
    unsigned access[] = {SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED};
    unsigned format[] = {SND_PCM_FORMAT_S16};
    snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 2, access);
    snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, format);
    snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, 1, mic->sound_channels);
    snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, rate, rate);
    snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 64, 1 << 20);
    return snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIODS, 2, 64);
}

SND_PCM_PLUGIN_DEFINE_FUNC(testmic) {
    snd_config_iterator_t at, next;
    const char *sound = NULL, *control = NULL;
    long rate = 48000, channels = 1, exclusive = 0;
    (void)root;
    snd_config_for_each(at, next, conf) {
        snd_config_t *entry = snd_config_iterator_entry(at);
        const char *key;
        if (snd_config_get_id(entry, &key) < 0) continue;
        if (!strcmp(key, "sound")) snd_config_get_string(entry, &sound);
        if (!strcmp(key, "control")) snd_config_get_string(entry, &control);
        if (!strcmp(key, "rate")) snd_config_get_integer(entry, &rate);
        if (!strcmp(key, "channels")) snd_config_get_integer(entry, &channels);
        if (!strcmp(key, "exclusive")) snd_config_get_integer(entry, &exclusive);
    }
    if (stream != SND_PCM_STREAM_CAPTURE) return -ENODEV;
    if (!sound || !control) return -EINVAL;
    mic_t *mic = calloc(1, sizeof *mic);
    if (!mic) return -ENOMEM;
    mic->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    mic->lock = -1;
    mic->sound_path = strdup(sound);
    mic->sound_channels = (unsigned)channels;
    mic->io.version = SND_PCM_IOPLUG_VERSION;
    mic->io.name = "Virtual microphone";
    mic->io.callback = &CALLBACKS;
    mic->io.private_data = mic;
    mic->io.poll_fd = mic->timer;
    mic->io.poll_events = POLLIN;
    int error = map_control(mic, control);
    if (!error && exclusive) error = lock_card(mic, control);
    if (!error) error = load_sound(mic);
    if (!error) error = snd_pcm_ioplug_create(&mic->io, name, stream, mode);
    if (error < 0) {
        mic_close(&mic->io);
        return error;
    }
    error = set_hw_params(mic, (unsigned)rate);
    if (error < 0) {
        snd_pcm_ioplug_delete(&mic->io);
        return error;
    }
    *pcmp = mic->io.pcm;
    return 0;
}
SND_PCM_PLUGIN_SYMBOL(testmic);
