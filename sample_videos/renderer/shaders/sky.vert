// A triangle over the whole picture, with the direction of each pixel.
in vec2 in_position;
uniform mat3 rays;
out vec3 direction;

void main() {
    direction = rays * vec3(in_position, 1.0);
    gl_Position = vec4(in_position, 0.99999, 1.0);
}
