"""The objects that nano can draw: the words of its captions and the emoji that show them."""

from sdtune._wording import with_article as put_article

__all__ = ["OBJECTS", "WELL_KNOWN", "object_label", "with_article"]

# The objects of most scenes: drawn more often in training, so that they become sharp first.
WELL_KNOWN: tuple[str, ...] = (
    "cat face", "cat", "dog face", "turtle", "fish", "bird", "rabbit face", "panda", "frog",
    "elephant", "butterfly", "lion", "penguin", "octopus", "apple", "banana", "strawberry",
    "watermelon", "pizza", "hamburger", "doughnut", "ice cream", "birthday cake", "mushroom",
    "sunflower", "rose", "tree", "cactus", "house", "car", "bus", "rocket", "sailboat", "bicycle",
    "star", "heart", "balloon", "soccer ball", "guitar", "snowman", "umbrella", "crown",
)  # fmt: skip

_OTHERS: tuple[str, ...] = (
    "dog", "mouse face", "fox", "tiger face", "horse face", "unicorn", "cow face", "pig face",
    "monkey face", "bear", "koala", "chicken", "baby chick", "duck", "owl", "crocodile", "snake",
    "dragon", "whale", "dolphin", "shark", "crab", "snail", "bug", "honeybee", "lady beetle",
    "spider", "camel", "goat", "squid", "tropical fish", "eagle",
    "grapes", "melon", "lemon", "pineapple", "pear", "peach", "cherries", "kiwi", "tomato",
    "avocado", "eggplant", "potato", "carrot", "corn", "hot pepper", "cucumber", "bread",
    "croissant", "pancakes", "cheese", "french fries", "hot dog", "taco", "egg", "popcorn",
    "sushi", "cookie", "candy", "lollipop", "honey pot", "coffee", "wine glass", "beer mug",
    "tulip", "hibiscus", "palm tree", "pine tree", "four leaf clover", "maple leaf", "volcano",
    "castle", "tent", "ambulance", "fire engine", "police car", "taxi", "truck", "tractor",
    "locomotive", "motor scooter", "airplane", "helicopter", "ship", "alarm clock", "moon", "sun",
    "cloud", "rainbow", "fire", "snowflake", "jack-o-lantern", "christmas tree", "present",
    "trophy", "basketball", "video game", "crystal ball", "sunglasses", "t-shirt", "dress",
    "high-heeled shoe", "top hat", "ring", "gem", "bell", "trumpet", "violin", "drum", "telephone",
    "laptop", "television", "camera", "candle", "light bulb", "book", "envelope", "pencil",
    "scissors", "key", "hammer", "bomb", "shield", "smiling face", "sunglasses face",
    "angry face", "crying face", "ghost", "alien", "robot", "skull", "clown face",
)  # fmt: skip

OBJECTS: tuple[str, ...] = WELL_KNOWN + _OTHERS

# Where Unicode's English short name is not what a person would type.
_UNICODE_LABELS: dict[str, str] = {
    "apple": "red apple",
    "tree": "deciduous tree",
    "pine tree": "evergreen tree",
    "car": "automobile",
    "truck": "delivery truck",
    "heart": "red heart",
    "kiwi": "kiwi fruit",
    "corn": "ear of corn",
    "cheese": "cheese wedge",
    "coffee": "hot beverage",
    "moon": "crescent moon",
    "christmas tree": "Christmas tree",
    "present": "wrapped gift",
    "gem": "gem stone",
    "book": "closed book",
    "smiling face": "smiling face with smiling eyes",
    "sunglasses face": "smiling face with sunglasses",
}


def object_label(name: str) -> str:
    """Return the Unicode CLDR short name of the emoji that shows an object.

    Args:
        name: one of `OBJECTS`, as captions write it.

    Returns:
        The short name by which emoji data lists the picture, such as "red apple" for "apple".
    """
    return _UNICODE_LABELS.get(name, name)


def with_article(name: str) -> str:
    """Return an object's name with its indefinite article, such as "an apple"; a plural alone."""
    if name in {"grapes", "cherries", "french fries", "pancakes", "scissors", "sunglasses"}:
        return name
    return put_article(name)
