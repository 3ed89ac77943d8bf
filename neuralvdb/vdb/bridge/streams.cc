#include "streams.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace nvdb {
namespace {

// NO_FILE of platform.py.
constexpr const char* kNoFile = "a pipe, device or socket; save what it gives in a file first";

} // namespace

MappedFile::MappedFile(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe is refused, not waited for
    struct stat info {};
    if (file < 0 || ::fstat(file, &info) != 0) {
        const int code = errno;
        if (file >= 0) ::close(file);
        throw SystemFailure(std::strerror(code), code);
    }
    if (!S_ISREG(info.st_mode)) {
        ::close(file);
        const bool folder = S_ISDIR(info.st_mode);
        throw SystemFailure(folder ? std::strerror(EISDIR) : kNoFile, folder ? EISDIR : EINVAL);
    }
    size_ = size_t(info.st_size);
    void* mapped = size_ ? ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0) : nullptr;
    const int code = errno;
    ::close(file);
    if (mapped == MAP_FAILED) throw SystemFailure(std::strerror(code), code);
    data_ = static_cast<const char*>(mapped);
}

MappedFile::~MappedFile() {
    if (data_) ::munmap(const_cast<char*>(data_), size_);
}

void MappedFile::release() const {
    if (data_) ::madvise(const_cast<char*>(data_), size_, MADV_DONTNEED);
}

FileBuffer::int_type FileBuffer::overflow(int_type next) {
    if (sync() != 0) return traits_type::eof();
    return traits_type::eq_int_type(next, traits_type::eof()) ? traits_type::not_eof(next) : sputc(char(next));
}

int FileBuffer::sync() {
    for (const char* at = pbase(); at != pptr();) {
        const auto written = ::write(file_, at, size_t(pptr() - at));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) code_ = errno;
        if (written <= 0) return -1;
        at += written;
    }
    empty();
    return 0;
}

FileBuffer::pos_type FileBuffer::seekoff(off_type off, std::ios_base::seekdir dir, std::ios_base::openmode) {
    if (sync() != 0) return pos_type(off_type(-1));
    const int whence = dir == std::ios_base::beg ? SEEK_SET : dir == std::ios_base::cur ? SEEK_CUR : SEEK_END;
    return pos_type(::lseek(file_, off, whence));
}

} // namespace nvdb
